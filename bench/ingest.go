package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/webhook"
)

// front is an HTTP server that takes part.
type front struct {
	name string
	// serve calls use with a handler, and undoes it after.
	serve func(ctx context.Context, use func(http.Handler) error) error
}

const (
	noOp         = "no-op net/http"
	frontAlone   = "front without a log"
	frontOn      = "front on "
	answerToPost = "success"
)

// ingestSetting is a number of connections, with a table for what is found.
type ingestSetting struct {
	connections int
	*table
}

func (b *bench) ingestSettings() []ingestSetting {
	var names []string
	for _, f := range b.fronts() {
		names = append(names, f.name)
	}
	var settings []ingestSetting
	for _, connections := range []int{64, 256} {
		title := fmt.Sprintf("ingest: signed callbacks over HTTP, %d connections", connections)
		if b.wants(title) {
			t := newTable(title, "callbacks/s", noOp, names).wants(ingestGoals(connections))
			settings = append(settings, ingestSetting{connections, t})
		}
	}
	return settings
}

func (b *bench) aboutIngest() time.Duration {
	return b.aboutTurns(len(b.ingestSettings()), len(b.fronts()))
}

// runIngest measures callbacks that are answered once their events are stored.
func (b *bench) runIngest(ctx context.Context) ([]result, error) {
	var tables []result
	for _, setting := range b.ingestSettings() {
		err := takeTurns(ctx, b, setting.title, b.fronts(), func(f front) string { return f.name }, func(f front) error {
			return f.serve(ctx, func(h http.Handler) error {
				s, err := b.post(ctx, h, setting.connections)
				setting.addSample(f.name, s)
				return err
			})
		})
		if err != nil {
			return nil, err
		}
		tables = append(tables, b.withReplica(setting.table, frontOn+oursOnJetStream)...)
	}
	return tables, nil
}

// fronts are those that flags leave.
func (b *bench) fronts() []front {
	fronts := []front{
		{noOp, func(_ context.Context, use func(http.Handler) error) error {
			return use(http.HandlerFunc(readAndAnswer))
		}},
		{ours, b.onEngine(wabastream())},
		{frontAlone, func(_ context.Context, use func(http.Handler) error) error { return serveFront(nowhere{}, use) }},
	}
	for _, c := range []contender{
		segment(),
		replica(),
		jetStreamServer(jetStreamSync, syncEach),
		jetStreamServer(jetStreamAtomic, syncBatches),
		jetStreamServer(jetStreamLazy, lazySync),
	} {
		fronts = append(fronts, front{frontOn + c.name, b.onEngine(c)})
	}
	return slices.DeleteFunc(fronts, func(f front) bool { return !b.takesPart(f.name) })
}

// readAndAnswer is the least that an answer to a callback takes.
func readAndAnswer(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, "body incomplete", http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, answerToPost)
}

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(_ context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	return stored(records, nil)
}

// onEngine is the product's front on an engine in a new folder.
func (b *bench) onEngine(c contender) func(context.Context, func(http.Handler) error) error {
	return func(ctx context.Context, use func(http.Handler) error) error {
		return b.withStore(ctx, c, func(e engine) error { return serveFront(e, use) })
	}
}

func serveFront(log webhook.Appender, use func(http.Handler) error) error {
	h, err := webhook.New(webhook.Config{
		Sources: []webhook.Source{{Name: sourceName, AccessKeys: []webhook.AccessKey{{Key: accessKey, Secret: accessSecret}}}},
		Log:     log,
	})
	if err != nil {
		return err
	}
	return use(h)
}

// post serves a handler on loopback, with the product's settings, and posts to it
// over a number of connections.
func (b *bench) post(ctx context.Context, h http.Handler, connections int) (s sample, err error) {
	served, err := serveCallbacks(ctx, h)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, served.close()) }()
	return b.drive(ctx, connections, func(int) (operation, error) {
		p, err := dialPoster(ctx, served.addr, &b.callbacks)
		if err != nil {
			return operation{}, err
		}
		return operation{run: p.post, end: p.close}, nil
	})
}

// callbackServer serves callbacks on loopback.
type callbackServer struct {
	addr   string
	server *http.Server
	served chan error
}

func serveCallbacks(ctx context.Context, h http.Handler) (*callbackServer, error) {
	mux := http.NewServeMux()
	mux.Handle("/webhooks/", h)
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &callbackServer{addr: listener.Addr().String(), server: server, served: make(chan error, 1)}
	go func() { c.served <- server.Serve(listener) }()
	return c, nil
}

func (c *callbackServer) close() error {
	err := c.server.Close()
	if end := <-c.served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}
