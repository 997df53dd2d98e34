package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// bound ends a test that a change has made endless. A change that reaches it was noticed.
const bound = 2 * time.Minute

// outcome is what became of one change.
type outcome int

const (
	noticed  outcome = iota // a test failed
	survived                // all tests passed
	invalid                 // it does not compile, so it counts for nothing
)

// result is a package's figures.
type result struct {
	pkg                string
	noticed, explained int
	survivors          []site
}

func (r result) percent() float64 {
	all := r.noticed + len(r.survivors)
	if all == 0 {
		return 100
	}
	return 100 * float64(r.noticed) / float64(all)
}

// run tests all packages and prints their figures.
func run(ctx context.Context, o options, packages []string, out io.Writer) error {
	accepted, err := readAccepted(o.accept)
	if err != nil {
		return err
	}
	var low []string
	for _, pkg := range packages {
		pkg = strings.TrimSuffix(strings.TrimPrefix(pkg, "./"), "/")
		sites, err := choose(pkg, o)
		if err != nil {
			return err
		}
		if o.list {
			for _, s := range sites {
				fmt.Fprintf(out, "%s:%d: %s\n", s.file, s.line, s.key(pkg))
			}
			continue
		}
		r, err := test(ctx, pkg, sites, o.workers, accepted)
		if err != nil {
			return err
		}
		report(out, r)
		if r.percent() < o.min {
			low = append(low, pkg)
		}
	}
	if len(low) > 0 {
		return fmt.Errorf("below %.0f %% of noticed changes: %s", o.min, strings.Join(low, " "))
	}
	return nil
}

func report(out io.Writer, r result) {
	for _, s := range r.survivors {
		fmt.Fprintf(out, "survivor %s:%d: %s\n", s.file, s.line, s.key(r.pkg))
	}
	fmt.Fprintf(out, "%s: %d of %d changes noticed (%.0f %%), %d survivors explained\n", r.pkg, r.noticed,
		r.noticed+len(r.survivors), r.percent(), r.explained)
}

// choose returns the changes of a package to try, in the order of the source.
func choose(pkg string, o options) ([]site, error) {
	files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
	if err != nil {
		return nil, err
	}
	var all []site
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		sites, err := sitesOf(file)
		if err != nil {
			return nil, err
		}
		all = append(all, sites...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has nothing to change\nhint: run it at the top of the repository", pkg)
	}
	if o.n == 0 || o.n >= len(all) {
		return all, nil
	}
	chosen := map[int]bool{}
	for _, i := range rand.New(rand.NewPCG(o.seed, 0)).Perm(len(all))[:o.n] {
		chosen[i] = true
	}
	var some []site
	for i, s := range all {
		if chosen[i] {
			some = append(some, s)
		}
	}
	return some, nil
}

// test tries the changes of one package, several at once.
func test(ctx context.Context, pkg string, sites []site, workers int, accepted map[string]bool) (result, error) {
	if kind, err := goTest(ctx, pkg, ""); err != nil || kind != survived {
		return result{}, errors.Join(fmt.Errorf("the tests of %s fail without any change", pkg), err)
	}
	outcomes, errs := make([]outcome, len(sites)), make([]error, len(sites))
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(1, workers) {
		wg.Go(func() {
			for i := range next {
				outcomes[i], errs[i] = try(ctx, pkg, sites[i])
			}
		})
	}
	for i := range sites {
		next <- i
	}
	close(next)
	wg.Wait()
	r := result{pkg: pkg}
	for i, s := range sites {
		switch {
		case outcomes[i] == noticed:
			r.noticed++
		case outcomes[i] == survived && accepted[s.key(pkg)]:
			r.explained++
		case outcomes[i] == survived:
			r.survivors = append(r.survivors, s)
		}
	}
	return r, errors.Join(append(errs, ctx.Err())...)
}

// try runs the package's tests with one change.
func try(ctx context.Context, pkg string, s site) (outcome, error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	src, err := os.ReadFile(s.file)
	if err != nil {
		return 0, err
	}
	original, err := filepath.Abs(s.file)
	if err != nil {
		return 0, err
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	text := string(src[:s.from]) + s.text + string(src[s.to:])
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(os.WriteFile(changed, []byte(text), 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return 0, err
	}
	return goTest(ctx, pkg, overlay)
}

// goTest runs the package's tests once. It leaves out those of the guard and of generated files.
func goTest(ctx context.Context, pkg, overlay string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	args := []string{"test", "-count=1", "-failfast", "-vet=off", "-timeout=90s"}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survived, nil
	case strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]"):
		return invalid, nil
	case errors.As(err, &exit), ctx.Err() != nil:
		return noticed, nil
	}
	return 0, err
}

// readAccepted reads the explained survivors: one line each, as it is printed after the file and the line, below a
// comment that says why no test can notice it.
func readAccepted(path string) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	accepted := map[string]bool{}
	lines := bufio.NewScanner(f)
	explained := false
	for lines.Scan() {
		switch line := strings.TrimSpace(lines.Text()); {
		case line == "":
			explained = false
		case strings.HasPrefix(line, "#"):
			explained = true
		case !explained:
			return nil, fmt.Errorf("%s: %q has no comment above it that says why", path, line)
		default:
			accepted[line] = true
		}
	}
	return accepted, lines.Err()
}
