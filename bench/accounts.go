package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	state "github.com/wabastream/wabastream/server/internal/accounts"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	events "github.com/wabastream/wabastream/server/internal/stream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// withoutState is the product without what it measures itself against here.
const withoutState = "wabastream without the state of accounts"

// population is how many of whom the state of accounts is made of.
type population struct {
	accounts, numbers, optOuts uint64
	gets, pages                int
}

func (b *bench) population() population {
	if b.quick {
		return population{accounts: 1000, numbers: 3000, optOuts: 10_000, gets: 500, pages: 50}
	}
	return population{accounts: 100_000, numbers: 300_000, optOuts: 1_000_000, gets: 20_000, pages: 1000}
}

func (b *bench) aboutAccounts() time.Duration {
	p := b.population()
	warm, measured := b.durations()
	return time.Duration(p.numbers+p.optOuts)*60*time.Microsecond + 20*time.Second + time.Duration(2*b.rounds)*(warm+measured)
}

// runAccounts measures the state of accounts: what it takes to read, with the client in
// the same process, and what it costs the front that the log keeps it.
func (b *bench) runAccounts(ctx context.Context) (_ []result, err error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p := b.population()
	found := &sheet{title: fmt.Sprintf("accounts: %d with %d numbers, %d opt-outs", p.accounts, p.numbers, p.optOuts)}
	if err := b.readState(ctx, dir, p, found); err != nil {
		return nil, err
	}
	ingest, err := b.ingestProjected(ctx)
	if err != nil {
		return nil, err
	}
	return []result{found, ingest}, nil
}

// readState fills a log, and reads its state.
func (b *bench) readState(ctx context.Context, dir string, p population, found *sheet) (err error) {
	log, err := openLog(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	kept, err := log.Project(ctx, state.Projection())
	if err != nil {
		return err
	}
	if err := b.populate(ctx, log, kept, p, found); err != nil {
		return err
	}
	return serveState(ctx, log, kept, func(client wabastreamv1.AccountServiceClient) error {
		return errors.Join(b.getAccounts(ctx, client, p, found), b.listAccounts(ctx, client, p, found), b.watchAccounts(ctx, client, found))
	})
}

// populate appends what the state is made of, and waits for the state.
func (b *bench) populate(ctx context.Context, log *pebblelog.Log, kept eventlog.State, p population, found *sheet) error {
	w := newCensus(p)
	begin := time.Now()
	var last eventlog.Sequence
	for records := w.next(); len(records) > 0; records = w.next() {
		appended, err := log.Append(ctx, records)
		if err != nil {
			return err
		}
		last = appended[len(appended)-1].Position.Sequence
	}
	if err := kept.Wait(ctx, last-1); err != nil {
		return err
	}
	found.find("appending and folding", "events/s").add(float64(last) / time.Since(begin).Seconds())
	used, err := memoryOf(os.Getpid())
	if err != nil {
		return err
	}
	found.find("memory of the process", "MiB").add(mebibytes(used.resident))
	return nil
}

// serveState serves the state over gRPC on loopback.
func serveState(ctx context.Context, log *pebblelog.Log, kept eventlog.State, use func(wabastreamv1.AccountServiceClient) error) (err error) {
	service, err := state.New(state.Config{
		Log: log, State: kept, Cursors: state.Cursors{Format: events.Cursor, Parse: events.ParseCursor},
		Admit: func(context.Context, access.Caller) (func(), error) { return func() {}, nil },
	})
	if err != nil {
		return err
	}
	everyone := func(ctx context.Context) context.Context {
		return access.NewContext(ctx, access.NewSession(access.Caller{Grant: access.Everything()}))
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return handler(everyone(ctx), req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return handler(srv, streamAs{ss, everyone(ss.Context())})
		}))
	service.Register(server)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		err = errors.Join(use(wabastreamv1.NewAccountServiceClient(conn)), conn.Close())
	}
	service.Drain()
	server.Stop()
	return errors.Join(err, <-served)
}

// streamAs is a stream with a context of its own.
type streamAs struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC asks a stream for its context
}

func (s streamAs) Context() context.Context { return s.ctx }

func (b *bench) getAccounts(ctx context.Context, client wabastreamv1.AccountServiceClient, p population, found *sheet) error {
	took := found.find("GetAccount, with its numbers", "ms")
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same accounts in every run
	for range p.gets {
		begin := time.Now()
		got, err := client.GetAccount(ctx, &wabastreamv1.GetAccountRequest{WabaId: account(random.Uint64N(p.accounts))})
		if err != nil {
			return err
		}
		took.add(millis(time.Since(begin)))
		if uint64(len(got.GetPhoneNumbers())) != p.numbers/p.accounts {
			return fmt.Errorf("an account has %d numbers", len(got.GetPhoneNumbers()))
		}
	}
	return nil
}

func (b *bench) listAccounts(ctx context.Context, client wabastreamv1.AccountServiceClient, p population, found *sheet) error {
	took := found.find("ListAccounts, a page of 100", "ms")
	request := &wabastreamv1.ListAccountsRequest{PageSize: 100}
	for range p.pages {
		begin := time.Now()
		page, err := client.ListAccounts(ctx, request)
		if err != nil {
			return err
		}
		took.add(millis(time.Since(begin)))
		if len(page.GetAccounts()) == 0 {
			return errors.New("a page is empty")
		}
		request.PageToken = page.GetNextPageToken()
	}
	return nil
}

func (b *bench) watchAccounts(ctx context.Context, client wabastreamv1.AccountServiceClient, found *sheet) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	watch, err := client.WatchAccounts(ctx, &wabastreamv1.WatchAccountsRequest{})
	if err != nil {
		return err
	}
	for received := 0; ; {
		frame, err := watch.Recv()
		if err != nil {
			return err
		}
		received += len(frame.GetSnapshot().GetAccounts()) + len(frame.GetSnapshot().GetPhoneNumbers())
		if frame.GetSnapshotEnd() != nil {
			found.find("WatchAccounts, a snapshot of all", "accounts and numbers/s").add(float64(received) / time.Since(begin).Seconds())
			used, err := memoryOf(os.Getpid())
			found.find("memory of the process after it", "MiB").add(mebibytes(used.resident))
			return err
		}
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ingestProjected measures the front with and without the state being kept. Every
// callback tells of a ban of an account, which is the most that one can change.
func (b *bench) ingestProjected(ctx context.Context) (*table, error) {
	fronts := []front{
		{withoutState, b.onEngine(wabastream())},
		{ours, b.onEngine(contender{ours, openProjected})},
	}
	found := newTable("accounts: signed callbacks over HTTP, 64 connections", "callbacks/s", withoutState, []string{withoutState, ours}).
		wants(map[string]goal{withoutState: {0.85, 0.95}})
	err := takeTurns(ctx, b, found.title, fronts, func(f front) string { return f.name }, func(f front) error {
		return f.serve(ctx, func(h http.Handler) error {
			s, err := b.post(ctx, h, 64)
			found.addSample(f.name, s)
			return err
		})
	})
	return found, err
}

// openProjected opens the product's log as its server does, with the state of accounts.
func openProjected(ctx context.Context, dir string) (engine, error) {
	log, err := openLog(ctx, dir)
	if err != nil {
		return nil, err
	}
	if _, err := log.Project(ctx, state.Projection()); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}
