// Command bench measures wabastream beside other ways to do the same, on the
// machine it runs on:
//
//	go run -C bench . [log|ingest|replay|open] [flags]
//
// Without a name it runs all four:
//
//	log     durable appends by writers that wait for them
//	ingest  signed callbacks over HTTP, answered once they are stored
//	replay  the events of one account out of a large log
//	open    opening that log after a clean close and after a crash; its size
//
// Figures of one machine mean little on another and drift from run to run. What
// counts are ratios: in each round every contender has its turn, ratios are taken
// within a round, and the medians over the rounds are reported. Load generators
// and clients run in the same process and on the same cores.
//
// It is bounded: every measurement has a fixed duration or a fixed number of
// events, all of it ends within two hours, and its data is removed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// longest bounds a run, whatever is asked for.
const longest = 2 * time.Hour

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the command's flags.
type settings struct {
	benchmark  string
	rounds     int
	quick      bool
	events     uint64
	dir        string
	json       string
	only       string
	setting    string
	cpuProfile string
}

func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Usage = func() {
		fmt.Fprint(usage, "usage: bench [log|ingest|replay|open] [flags]\n\n")
		flags.PrintDefaults()
	}
	flags.IntVar(&s.rounds, "rounds", 5, "rounds in which every contender has its turn, 1 to 100")
	flags.BoolVar(&s.quick, "quick", false, "short turns and a small log: to see that it works, not to compare")
	flags.Uint64Var(&s.events, "events", 0, "events in the log of replay and open, 10,000 to 20,000,000 (default 2,000,000; 200,000 with --quick)")
	flags.StringVar(&s.dir, "dir", ".", "folder for temporary data, on the disk to be measured")
	flags.StringVar(&s.json, "json", "", "write the results to this file as well")
	flags.StringVar(&s.only, "only", "", "run only contenders whose name contains this text")
	flags.StringVar(&s.setting, "case", "", "of log and ingest, run only settings whose title contains this text, as \"64 writers\"")
	flags.StringVar(&s.cpuProfile, "cpuprofile", "", "write a CPU profile to this file")
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		s.benchmark, args = args[0], args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: one benchmark is named first, flags follow", flags.Arg(0))
	}
	if s.events == 0 {
		s.events = 2_000_000
		if s.quick {
			s.events = 200_000
		}
	}
	return s, s.check()
}

func (s settings) check() error {
	if s.rounds < 1 || s.rounds > 100 {
		return fmt.Errorf("--rounds %d: want 1 to 100", s.rounds)
	}
	if s.events < accounts || s.events > 20_000_000 {
		return fmt.Errorf("--events %d: want 10,000 to 20,000,000", s.events)
	}
	return nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if len(args) > 0 && args[0] == childCommand {
		return runChild(ctx, args[1:], out)
	}
	s, err := parse(args, progress)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := os.MkdirTemp(s.dir, "wabastream-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for temporary data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	stop, err := profile(s.cpuProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b := &bench{settings: s, data: data, progress: progress, load: newWorkload()}
	return b.run(ctx, out)
}

// profile starts a CPU profile if a file is named; the function returned ends it.
func profile(file string) (func() error, error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file) //nolint:gosec // the user names it
	if err != nil {
		return nil, fmt.Errorf("make the profile's file: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
