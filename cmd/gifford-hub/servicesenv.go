package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
)

// usualAPI is where gifford-hub-api.socket listens unless somebody has changed it.
const usualAPI = "127.0.0.1:8081"

func (a *app) servicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "services",
		Short:   "Help to run the services of the settings",
		Long:    `Helps to run the services of the settings, which systemd starts and not the hub.`,
		Example: `  sudo gifford-hub services env idle-culler`,
		Args:    noCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.envCommand())
	return cmd
}

func (a *app) envCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env NAME",
		Short: "Print a service's environment for its unit",
		Long: `Prints the variables that a program of JupyterHub expects as a service, for EnvironmentFile=
of its unit. The token is not among them: a comment says how the unit comes by it. Print it
again when the settings of the service or the hub's addresses have changed.`,
		Example: `  sudo gifford-hub services env idle-culler | sudo tee /etc/gifford-hub/idle-culler.env`,
		Args:    arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return a.serviceNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			return a.writeServiceEnv(cmd.Context(), cfg, args[0])
		},
	}
}

func (a *app) serviceNames() (names []string) {
	cfg, err := a.load()
	if err != nil {
		return nil
	}
	for _, s := range hub.DeclaredServices(cfg) {
		names = append(names, s.Name)
	}
	return names
}

func (a *app) writeServiceEnv(ctx context.Context, cfg *config.Config, name string) error {
	all := hub.DeclaredServices(cfg)
	i := slices.IndexFunc(all, func(s services.Service) bool { return s.Name == name })
	if i < 0 {
		return hint.With(fmt.Errorf("there is no section [services.%s] in the settings", name),
			"gifford-hub config validate --show")
	}
	address, known := a.apiAddress(ctx)
	c := services.EnvConfig{BaseURL: cfg.HTTP.BaseURL, APIURL: "http://" + address + cfg.HTTP.BaseURL + "hub/api",
		PublicURL: cfg.HTTP.PublicURL, Origins: cfg.Origins()}
	comments := []string{"The service " + name + " of gifford-hub, by: gifford-hub services env " + name}
	if !known {
		comments = append(comments, "The hub did not answer; its API is taken to be at "+usualAPI+".")
	}
	comments = append(comments, tokenComments(cfg, name)...)
	if _, err := fmt.Fprintf(a.stdout, "# %s\n", strings.Join(comments, "\n# ")); err != nil {
		return err
	}
	return services.WriteEnv(a.stdout, c.Env(all[i]))
}

// apiAddress asks the running hub where services find its API.
func (a *app) apiAddress(ctx context.Context) (address string, known bool) {
	status, err := a.hub().Status(ctx)
	if err != nil {
		return usualAPI, false
	}
	for _, l := range status.Listeners {
		if _, port, err := net.SplitHostPort(l.Address); err == nil && l.Name == "api" {
			return "127.0.0.1:" + port, true
		}
	}
	return usualAPI, false
}

// tokenComments say how the service's unit comes by its token.
func tokenComments(cfg *config.Config, name string) []string {
	file, asEnv := cfg.TokenFile(name)
	switch {
	case file == "":
		return []string{"It has no token."}
	case asEnv:
		return []string{"Its token is JUPYTERHUB_API_TOKEN in another file, which the unit reads as well:",
			"EnvironmentFile=" + file}
	}
	return []string{"Its token stands alone in a file. The unit reads it when that is one line " + config.APIToken +
		"TOKEN, which the hub takes too:", "EnvironmentFile=" + file}
}
