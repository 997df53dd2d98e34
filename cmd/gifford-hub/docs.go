package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// docsCommand writes what the package holds besides the programs. All of it is made from
// the commands and the tables of settings and of the policy, so that it cannot differ from them.
func (a *app) docsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "docs DIRECTORY",
		Short:  "Write man pages, shell completion, docs/settings.md and the commented hub.toml and launcher.toml",
		Hidden: true,
		Args:   arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeDocs(cmd.Root(), args[0])
		},
	}
}

// document is one generated file.
type document struct {
	path  string
	write func(io.Writer) error
}

func documents(root *cobra.Command) []document {
	return []document{
		{"man/gifford-hub.1", func(w io.Writer) error { return manCommands(w, root) }},
		{"man/gifford-hub.toml.5", manSettings},
		{"man/launcher.toml.5", manPolicy},
		{"settings.md", settingsMarkdown},
		{"hub.toml", settingsFile},
		{"launcher.toml", policyFile},
		{"completion/gifford-hub.bash", func(w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
		{"completion/_gifford-hub", root.GenZshCompletion},
		{"completion/gifford-hub.fish", func(w io.Writer) error { return root.GenFishCompletion(w, true) }},
	}
}

func writeDocs(root *cobra.Command, directory string) error {
	for _, d := range documents(root) {
		if err := writeDocument(filepath.Join(directory, d.path), d.write); err != nil {
			return fmt.Errorf("write %s: %w", d.path, err)
		}
	}
	return nil
}

func writeDocument(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
