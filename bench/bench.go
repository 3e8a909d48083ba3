package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// bench is one run of the command.
type bench struct {
	settings
	data      string // folder for stores, removed at the end
	progress  io.Writer
	load      *workload
	callbacks callbacks
}

// report is a whole run, as written to --json.
type report struct {
	Machine machine  `json:"machine"`
	Rounds  int      `json:"rounds"`
	Quick   bool     `json:"quick"`
	Tables  []*table `json:"tables"`
}

func (b *bench) run(ctx context.Context, out io.Writer) error {
	benchmarks := []struct {
		name string
		run  func(context.Context) ([]*table, error)
	}{
		{"log", b.runLog},
		{"ingest", b.runIngest},
		{"replay", b.runReplay},
		{"open", b.runOpen},
	}
	about, err := describeMachine(b.data)
	if err != nil {
		return err
	}
	r := report{Machine: about, Rounds: b.rounds, Quick: b.quick}
	fmt.Fprintln(out, about)
	ran := false
	for _, bm := range benchmarks {
		if b.benchmark != "" && b.benchmark != bm.name {
			continue
		}
		ran = true
		tables, err := bm.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", bm.name, err)
		}
		r.Tables = append(r.Tables, tables...)
		for _, t := range tables {
			if err := t.write(out); err != nil {
				return err
			}
		}
	}
	if !ran {
		return fmt.Errorf("no benchmark %q: want log, ingest, replay or open", b.benchmark)
	}
	return b.save(r)
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

// wanted leaves the contenders that --only names.
func (b *bench) wanted(all []contender) []contender {
	var kept []contender
	for _, c := range all {
		if strings.Contains(c.name, b.only) {
			kept = append(kept, c)
		}
	}
	return kept
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
