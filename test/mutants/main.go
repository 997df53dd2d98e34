// Command mutants makes small changes to a package, one at a time, and runs the package's own tests against each.
// Examples are a reversed comparison, an && instead of an ||, a dropped negation, an error that is not returned. It
// prints a change that no test notices as a survivor. The choice of changes is seeded, so that a run can be repeated.
// It never writes to the source tree: a changed file reaches the compiler through "go test -overlay".
//
// Usage: go run ./test/mutants [-n 40] [-seed 1] [-min 95] PACKAGE…
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

// options are the flags of a run.
type options struct {
	n       int     // changes for each package; 0 is all
	seed    uint64  // of the choice
	min     float64 // percent to be noticed; less makes the run fail
	workers int     // tests at once
	list    bool    // print the changes and run nothing
	accept  string  // the file of accepted survivors
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 40, "changes for each package; 0 is all of them")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the choice")
	flag.Float64Var(&o.min, "min", 0, "fail below this percentage of noticed changes")
	flag.IntVar(&o.workers, "workers", 2, "tests that run at once")
	flag.BoolVar(&o.list, "list", false, "print the changes and run nothing")
	flag.StringVar(&o.accept, "accept", "test/mutants/survivors.txt", "the file of survivors that are explained")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "mutants: name a package\nhint: make mutants PKG=./agent/ident")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o, flag.Args(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}
