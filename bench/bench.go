package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is one run of the command.
type bench struct {
	settings
	data      string // folder for stores, removed at the end
	progress  io.Writer
	load      *workload
	callbacks callbacks
}

// result is what a benchmark found. It is written for people, and marshals to
// JSON for programs.
type result interface {
	write(out io.Writer) error
}

// report is a whole run, as written to --json.
type report struct {
	Machine machine  `json:"machine"`
	Rounds  int      `json:"rounds"`
	Quick   bool     `json:"quick"`
	Seconds float64  `json:"seconds"`
	Results []result `json:"tables"`
}

// benchmark is what can be named on the command line.
type benchmark struct {
	name string
	// alone says that it runs only if it is named.
	alone bool
	// about is how long it takes on two cores and a disk that syncs in 0.2 ms.
	about func() time.Duration
	run   func(context.Context) ([]result, error)
}

func (b *bench) benchmarks() []benchmark {
	return []benchmark{
		{"log", false, b.aboutLog, b.runLog},
		{"ingest", false, b.aboutIngest, b.runIngest},
		{"replay", false, b.aboutReplay, b.runReplay},
		{"open", false, b.aboutOpen, b.runOpen},
		{"scale", true, b.aboutScale, b.runScale},
		{"soak", true, b.aboutSoak, b.runSoak},
		{"accounts", true, b.aboutAccounts, b.runAccounts},
		{"fanout", true, b.aboutFanout, b.runFanout},
		{"paced", true, b.aboutPaced, b.runPaced},
		{"latency", true, b.aboutLatency, b.runLatency},
		{"stalled", true, b.aboutStalled, b.runStalled},
		{"idle", true, b.aboutIdle, b.runIdle},
		{"matching", true, b.aboutMatching, b.runMatching},
	}
}

// chosen are the benchmarks to run.
func (b *bench) chosen() ([]benchmark, error) {
	var chosen []benchmark
	for _, bm := range b.benchmarks() {
		if bm.name == b.benchmark || (b.benchmark == "" && !bm.alone) {
			chosen = append(chosen, bm)
		}
	}
	if len(chosen) == 0 {
		var names []string
		for _, bm := range b.benchmarks() {
			names = append(names, bm.name)
		}
		return nil, fmt.Errorf("no benchmark %q: want one of %s", b.benchmark, strings.Join(names, ", "))
	}
	return chosen, nil
}

func (b *bench) run(ctx context.Context, out io.Writer) error {
	chosen, err := b.chosen()
	if err != nil {
		return err
	}
	about, err := describeMachine(b.data)
	if err != nil {
		return err
	}
	r := report{Machine: about, Rounds: b.rounds, Quick: b.quick}
	start := time.Now()
	fmt.Fprintln(out, about)
	for _, bm := range chosen {
		fmt.Fprintf(b.progress, "%s: takes about %v\n", bm.name, roughly(bm.about()))
	}
	for _, bm := range chosen {
		results, err := bm.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", bm.name, err)
		}
		r.Results = append(r.Results, results...)
		for _, found := range results {
			if err := found.write(out); err != nil {
				return err
			}
		}
	}
	took := time.Since(start)
	r.Seconds = took.Seconds()
	fmt.Fprintf(out, "\ntook %v in all\n", took.Round(time.Second))
	return b.save(r)
}

// roughly is a duration for people to expect.
func roughly(d time.Duration) time.Duration {
	if d > time.Minute {
		return d.Round(30 * time.Second)
	}
	return d.Round(time.Second)
}

func (b *bench) save(r report) error {
	if b.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.json, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// wants tells whether a setting is among those that --case names.
func (b *bench) wants(title string) bool { return strings.Contains(title, b.setting) }

// wanted leaves the contenders that take part.
func (b *bench) wanted(all []contender) []contender {
	return slices.DeleteFunc(all, func(c contender) bool { return !b.takesPart(c.name) })
}

// named leaves the contenders that --only names.
func (b *bench) named(all []contender) []contender {
	return slices.DeleteFunc(all, func(c contender) bool { return !strings.Contains(c.name, b.only) })
}

// takesPart tells whether --only and --replica leave a contender.
func (b *bench) takesPart(name string) bool {
	return strings.Contains(name, b.only) && (!b.replica || besideReplica(name))
}

// aboutTurns is how long it takes until so many contenders had all their turns in
// so many settings; opening and closing is most of what is added to each.
func (b *bench) aboutTurns(settings, contenders int) time.Duration {
	warm, measured := b.durations()
	return time.Duration(b.rounds*settings*contenders) * (warm + measured + 100*time.Millisecond)
}

// takeTurns measures every contender once a round and adds what it finds to the
// tables. Each round begins with another contender, so that none always follows
// the same one.
func takeTurns[C any](ctx context.Context, b *bench, what string, contenders []C, nameOf func(C) string, measure func(C) error) error {
	for round := range b.rounds {
		for i := range contenders {
			if err := ctx.Err(); err != nil {
				return err
			}
			c := contenders[(i+round)%len(contenders)]
			fmt.Fprintf(b.progress, "%s, round %d of %d: %s\n", what, round+1, b.rounds, nameOf(c))
			runtime.GC() // what the one before left is not for this one to clear
			if err := measure(c); err != nil {
				return fmt.Errorf("%s: %w", nameOf(c), err)
			}
		}
	}
	return nil
}

// withStore opens a contender on an empty folder, and removes the folder after.
func (b *bench) withStore(ctx context.Context, c contender, use func(engine) error) (err error) {
	dir, err := b.folder()
	if err != nil {
		return err
	}
	e, err := c.open(ctx, dir)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	err = use(e)
	if closed := e.Close(); err == nil && closed != nil {
		err = fmt.Errorf("close: %w", closed)
	}
	if removed := os.RemoveAll(dir); err == nil {
		err = removed
	}
	return err
}

// folder makes an empty one.
func (b *bench) folder() (string, error) { return os.MkdirTemp(b.data, "store-") }
