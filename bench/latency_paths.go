package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"
)

// callbackPath is a front with what carries its events to subscribers.
type callbackPath struct {
	name string
	// serve calls use with the addresses of both, and ends them after.
	serve func(ctx context.Context, use func(posts, streams string) error) error
	dial  dialer
	// numberOf tells which callback an event was made of.
	numberOf func(event []byte) (uint64, error)
}

// firstTime is what the time in a callback is more than its number.
const firstTime = 1_000_000_000

func (b *bench) latencyNames() []string {
	var names []string
	for _, name := range []string{ours, jetStreamFront} {
		if strings.Contains(name, b.only) {
			names = append(names, name)
		}
	}
	return names
}

func (b *bench) latencyPaths(ctx context.Context) ([]callbackPath, error) {
	program, err := b.server(ctx)
	if err != nil {
		return nil, err
	}
	var paths []callbackPath
	for _, name := range b.latencyNames() {
		switch name {
		case ours:
			paths = append(paths, callbackPath{name, b.throughServer(program), dialOurs, numberOfEvent})
		case jetStreamFront:
			paths = append(paths, callbackPath{name, b.throughJetStream, dialJetStreamRecords, numberOfRecord})
		}
	}
	return paths, nil
}

// throughServer is the product's server, whole.
func (b *bench) throughServer(program *serverProgram) func(context.Context, func(posts, streams string) error) error {
	return func(ctx context.Context, use func(posts, streams string) error) (err error) {
		dir, err := b.folder()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		p, err := program.start(ctx, dir)
		if err != nil {
			return err
		}
		defer p.kill()
		return errors.Join(use(p.http, p.grpc), p.stop())
	}
}

// throughJetStream is the product's front on JetStream, and ordered consumers.
func (b *bench) throughJetStream(ctx context.Context, use func(posts, streams string) error) (err error) {
	dir, err := b.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := findStreamContender(jetStreamFront)
	if err != nil {
		return err
	}
	r, err := b.remote(ctx, c, dir)
	if err != nil {
		return err
	}
	return errors.Join(use(r.Callbacks, r.Addr), r.close())
}

// jetStreamFrontBroker is published to by callbacks.
type jetStreamFrontBroker struct {
	*jetStreamLog
	front     *callbackServer
	callbacks string
}

func serveJetStreamFront(ctx context.Context, dir string) (broker, error) {
	log, err := listenJetStream(ctx, dir, lazySync)
	if err != nil {
		return nil, err
	}
	b := &jetStreamFrontBroker{jetStreamLog: log}
	err = serveFront(log, func(h http.Handler) error {
		b.front, err = serveCallbacks(ctx, h)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	b.callbacks = b.front.addr
	return b, nil
}

func (b *jetStreamFrontBroker) addr() string { return b.server.Addr().String() }

func (b *jetStreamFrontBroker) publish(context.Context, *streamLoad, uint64, uint64) error {
	return errors.New("publish: it takes callbacks alone")
}

func (b *jetStreamFrontBroker) close() error { return errors.Join(b.front.close(), b.Close()) }

// dialJetStreamRecords receives records as jetStreamLog stores them. They have no
// sequence; they are counted.
func dialJetStreamRecords(_ context.Context, addr string) (connection, error) {
	return connectJetStream(addr, func(r *receiver, record []byte) {
		if r.observe != nil {
			r.observe(record)
		}
		r.received.Store(r.received.Load() + 1)
	})
}

// numberOfEvent is for the contract's events.
func numberOfEvent(event []byte) (uint64, error) {
	const fieldOccurTime = 12
	at, err := timeIn(event, fieldOccurTime)
	return numberAt(at), err
}

// numberOfRecord is for what encode wrote.
func numberOfRecord(record []byte) (uint64, error) {
	const beforeTime = 8 + 20 + 1 + 1 // length and checksum, id, severity, how the WABA was found
	if len(record) < beforeTime {
		return 0, errNotWire
	}
	micros, n := binary.Varint(record[beforeTime:])
	if n <= 0 {
		return 0, errNotWire
	}
	return numberAt(time.UnixMicro(micros)), nil
}

func numberAt(t time.Time) uint64 { return uint64(t.Unix() - firstTime) }
