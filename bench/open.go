package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"time"
)

// childCommand is how the command calls itself. A process of its own gives a
// store that nobody closed, and memory that holds nothing but one store.
const childCommand = "child"

// What a child does.
const (
	childFill = "fill" // fill NAME DIR EVENTS: and exit without closing
	childOpen = "open" // open NAME DIR: open, tell about it as JSON, close
	// append NAME DIR FIRST: open, tell, and append records from the nth on with
	// many writers until the process is killed.
	childAppend = "append"
)

// opened is what a child tells of opening a store.
type opened struct {
	Micros   float64 `json:"micros"`
	Resident uint64  `json:"resident_bytes"`
}

func openContenders() []contender {
	return []contender{wabastream(), replica(), jetStreamServer(jetStreamLazy, lazySync), bolt(boltBare, false)}
}

func (b *bench) aboutOpen() time.Duration {
	contenders := len(b.wanted(openContenders()))
	return time.Duration(b.rounds*contenders) * (time.Duration(b.events)*14*time.Microsecond + 2*time.Second)
}

// runOpen measures opening a large log, with its files in the system's cache, and
// how much room it takes. The crash is the process's: what it wrote is there, but
// nothing was closed. Logs are opened right after they were filled: JetStream then
// reads all that is younger than the two minutes in which it knows duplicates, and
// the product all ids that it still knows.
func (b *bench) runOpen(ctx context.Context) ([]result, error) {
	contenders := b.wanted(openContenders())
	about := fmt.Sprintf(" of %d events", b.events)
	names := namesOf(contenders)
	crash := newTable("open: log"+about+" after a crash of the process", "ms", jetStreamLazy, names).lessIsBetter()
	clean := newTable("open: log"+about+" after a clean close", "ms", jetStreamLazy, names).lessIsBetter()
	resident := newTable("open: memory in RAM after opening a log"+about, "MiB", jetStreamLazy, names).lessIsBetter()
	size := newTable(fmt.Sprintf("open: disk an event, payload %d bytes, header about 80", payloadBytes), "bytes", jetStreamLazy, names).lessIsBetter()
	err := takeTurns(ctx, b, "open", contenders, contenderName, func(c contender) error {
		dir, err := b.folder()
		if err != nil {
			return err
		}
		if _, err := b.child(ctx, childFill, c.name, dir, strconv.FormatUint(b.events, 10)); err != nil {
			return err
		}
		for _, t := range []*table{crash, clean} {
			o, err := b.childOpens(ctx, c, dir)
			if err != nil {
				return err
			}
			t.add(c.name, o.Micros/1e3)
			if t == clean {
				resident.add(c.name, float64(o.Resident)/(1<<20))
			}
		}
		bytes, err := diskBytes(dir)
		size.add(c.name, float64(bytes)/float64(b.events))
		return errors.Join(err, os.RemoveAll(dir))
	})
	return []result{clean, crash, resident, size}, err
}

func (b *bench) childOpens(ctx context.Context, c contender, dir string) (o opened, err error) {
	out, err := b.child(ctx, childOpen, c.name, dir)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(out, &o); err != nil {
		return o, fmt.Errorf("read what the child process says: %w", err)
	}
	return o, nil
}

// child runs this program again and returns its output.
func (b *bench) child(ctx context.Context, args ...string) ([]byte, error) {
	cmd, err := b.self(ctx, args...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("child process: %s: %w", args[0], err)
	}
	return out.Bytes(), nil
}

// killedChild runs this program again, and kills it some time after its first
// output.
func (b *bench) killedChild(ctx context.Context, after time.Duration, args ...string) error {
	cmd, err := b.self(ctx, args...)
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err = io.ReadFull(out, make([]byte, 1)); err == nil {
		err = wait(ctx, after, nil)
	}
	_ = cmd.Process.Kill() // an error means that it has ended, which Wait tells
	ended := cmd.Wait()
	if status, ok := errors.AsType[*exec.ExitError](ended); ok && err == nil && !status.Exited() {
		return nil
	}
	return fmt.Errorf("child process: %s: %w", args[0], errors.Join(err, ended))
}

// self is this program with a child's arguments.
func (b *bench) self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, append([]string{childCommand}, args...)...) //nolint:gosec // this program with names made here
	cmd.Stderr = b.progress
	return cmd, nil
}

func runChild(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 3 {
		return errors.New("the child command is for this program itself")
	}
	if args[0] == childServe {
		return serveInChild(ctx, args[1:], os.Stdin, out)
	}
	for _, c := range openContenders() {
		switch {
		case c.name != args[1]:
		case args[0] == childOpen:
			return openInChild(ctx, c, args[2], out)
		case args[0] == childFill && len(args) == 4:
			return fillInChild(ctx, c, args[2], args[3])
		case args[0] == childAppend && len(args) == 4:
			return appendInChild(ctx, c, args[2], args[3], out)
		}
	}
	return fmt.Errorf("no such child command: %q", args)
}

// fillInChild leaves the store open: the process ends without closing it.
func fillInChild(ctx context.Context, c contender, dir, events string) error {
	n, err := strconv.ParseUint(events, 10, 64)
	if err != nil {
		return err
	}
	e, err := c.open(ctx, dir)
	if err != nil {
		return err
	}
	return fillEngine(ctx, e, newWorkload(accounts), n)
}

// appendInChild ends only when it is killed, or with an error.
func appendInChild(ctx context.Context, c contender, dir, first string, out io.Writer) error {
	n, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return err
	}
	e, err := c.open(ctx, dir)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, "open\n"); err != nil {
		return err
	}
	w := writers{log: e, load: newWorkload(accounts), end: math.MaxUint64}
	w.next.Store(n)
	return w.run(ctx)
}

func openInChild(ctx context.Context, c contender, dir string, out io.Writer) error {
	start := time.Now()
	e, err := c.open(ctx, dir)
	if err != nil {
		return err
	}
	o := opened{Micros: micros(time.Since(start))}
	debug.FreeOSMemory()
	inRAM, err := memoryOf(os.Getpid())
	o.Resident = inRAM.resident
	return errors.Join(err, json.NewEncoder(out).Encode(o), e.Close())
}
