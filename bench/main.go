// Command bench measures wabastream, most of it beside other ways to do the same,
// on the machine it runs on:
//
//	go run -C bench . [NAME] [flags]
//
// Without a name it runs the first four:
//
//	log     durable appends by writers that wait for them
//	ingest  signed callbacks over HTTP, answered once they are stored
//	replay  the events of one account out of a large log
//	open    opening that log after a clean close and after a crash; its size
//	scale   a log of five million events: one account's events, warm and cold;
//	        opening it, and a server on it, after a stop and after kill -9; memory
//	accounts  the state of 100,000 accounts: reading it, and what it costs the front
//	soak    a server at half of its greatest rate while retention trims its log
//
// And of the stream, with the subscribers in this process and servers in others:
//
//	fanout    deliveries to 1 to 1,000 subscribers, to all and to one taker each
//	paced     what a delivery costs at a steady rate
//	latency   from POST to receipt
//	stalled   what others notice of a subscriber that does not read
//	idle      a server's memory for subscribers that receive nothing
//	matching  what an event costs with 10,000 subscribers that it does not concern
//
// log, ingest, replay and fanout also measure the product's log on JetStream, as a
// replica has it; with --replica, only that and what it is compared with.
//
// Figures of one machine mean little on another and drift from run to run. What
// counts are ratios: in each round every contender has its turn, ratios are taken
// within a round, and the medians over the rounds are reported, with the project's
// goals for them. Load generators and clients run on the same cores, and but for
// scale, soak and the stream in the same process.
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
	wabas      uint64
	dir        string
	serverFile string
	json       string
	only       string
	// replica leaves what a log on JetStream is compared with.
	replica    bool
	setting    string
	cpuProfile string
	// serverProfile is the same of the servers that run in processes of their own.
	serverProfile string
	soakSettings
}

// soakSettings are those of the soak alone.
type soakSettings struct {
	minutes         float64
	share           float64
	retentionBytes  uint64
	horizon         time.Duration
	subscriberCount int
}

const usageText = `usage: bench [log|ingest|replay|open|scale|soak|accounts] [flags]
       bench fanout|paced|latency|stalled|idle|matching [flags]

Without a name it runs the first four.

scale needs some 10 GiB of disk. It fills a log of --events events of --wabas
WABAs, and reads, serves and opens it. "Reached" is about the project's limits.

soak fills the log to --retention-bytes before it starts the server, so that
retention, which looks once a minute, trims from the first minute on; with --quick
it does not, and then a short run ends before anything is trimmed. It measures the
greatest rate for 20 s (3 s with --quick), posts --share of it for --minutes, takes
a reading every 5 s, and ends with a verdict for each criterion. Latencies count
from when a callback was due, not from when it could be sent.

fanout, paced, latency, stalled, idle and matching are of the stream. Every event
is of some 300 bytes, and is published in the server's process: to the product by
appending to its log, durably, several batches of 256 at a time (paced: each event
by itself), as HTTP would be the limit. "Log in memory" is the product's stream on
a log that stores nothing, as naive gRPC and NATS core do not either. As fast as
takers receive means that at most 16,384 events (4,194 with 1,000 subscribers, 65,536
with one taker each) are published that not all have received, of all contenders
alike. Each subscriber checks the order of what it receives, and in the end that
nothing is missing. It looks for an event's sequence and WABA in the bytes and
decodes no more, whoever sent it; where it says "decoded" it makes messages of the
generated types.

`

func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Usage = func() {
		fmt.Fprint(usage, usageText)
		flags.PrintDefaults()
	}
	flags.IntVar(&s.rounds, "rounds", 5, "rounds in which every contender has its turn, 1 to 100; scale: how often each is opened")
	flags.BoolVar(&s.quick, "quick", false, "short turns and a small log: to see that it works, not to compare")
	flags.Uint64Var(&s.events, "events", 0, "events in the log of replay, open and scale, 10,000 to 20,000,000 (default 2,000,000; scale 5,000,000; with --quick 200,000)")
	flags.Uint64Var(&s.wabas, "wabas", accounts, "scale: WABAs that the events are of, 1,000 to 1,000,000")
	flags.StringVar(&s.dir, "dir", ".", "folder for temporary data, on the disk to be measured")
	flags.StringVar(&s.serverFile, "server", "", "scale, soak and latency: the wabastreamd to run (default: built from the tree)")
	flags.StringVar(&s.json, "json", "", "write the results to this file as well")
	flags.StringVar(&s.only, "only", "", "run only contenders whose name contains this text")
	flags.BoolVar(&s.replica, "replica", false, "log, ingest, replay and fanout: only the log on JetStream, the embedded one, and JetStream's own clients that store durably")
	flags.StringVar(&s.setting, "case", "", "log, ingest, fanout and latency: run only settings whose title contains this text, as \"64 writers\"")
	flags.StringVar(&s.cpuProfile, "cpuprofile", "", "write a CPU profile to this file; of the stream that is the subscribers'")
	flags.StringVar(&s.serverProfile, "serverprofile", "", "fanout, paced, stalled, idle and matching: write the last server's CPU profile to this file")
	flags.Float64Var(&s.minutes, "minutes", 10, "soak: how long it is under load, 0.1 to 90")
	flags.Float64Var(&s.share, "share", 0.5, "soak: rate as a part of the greatest that the server takes, up to 1")
	flags.Uint64Var(&s.retentionBytes, "retention-bytes", 1<<30, "soak: size that the log is trimmed to, 1 GiB or more")
	flags.DurationVar(&s.horizon, "duplicate-horizon", 2*time.Minute, "soak: how long the server recognises a repeated callback; ids that expire within the run are part of what must stay flat")
	flags.IntVar(&s.subscriberCount, "subscribers", 2, "soak: subscribers that read along, 1 to 100")
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
		s.events = s.defaultEvents()
	}
	return s, errors.Join(s.check(), s.soakSettings.check())
}

func (s settings) defaultEvents() uint64 {
	switch {
	case s.quick:
		return 200_000
	case s.benchmark == "scale":
		return 5_000_000
	default:
		return 2_000_000
	}
}

func (s settings) check() error {
	if s.rounds < 1 || s.rounds > 100 {
		return fmt.Errorf("--rounds %d: want 1 to 100", s.rounds)
	}
	if s.events < accounts || s.events > 20_000_000 {
		return fmt.Errorf("--events %d: want 10,000 to 20,000,000", s.events)
	}
	if s.wabas < 1000 || s.wabas > 1_000_000 {
		return fmt.Errorf("--wabas %d: want 1,000 to 1,000,000", s.wabas)
	}
	return nil
}

// check leaves what the server checks itself to the server.
func (s soakSettings) check() error {
	if !(s.minutes >= 0.1 && s.minutes <= 90) {
		return fmt.Errorf("--minutes %v: want 0.1 to 90", s.minutes)
	}
	if !(s.share > 0 && s.share <= 1) {
		return fmt.Errorf("--share %v: want more than 0, up to 1", s.share)
	}
	if s.subscriberCount < 1 || s.subscriberCount > 100 {
		return fmt.Errorf("--subscribers %d: want 1 to 100", s.subscriberCount)
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
	b := &bench{settings: s, data: data, progress: progress, load: newWorkload(accounts)}
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
