package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// jetStreamMode is how messages become durable.
type jetStreamMode int

const (
	// lazySync is the default: acknowledged when written, synced every two minutes.
	lazySync jetStreamMode = iota
	// syncEach syncs every message.
	syncEach
	// syncBatches syncs too, and publishes what waits as one atomic batch.
	syncBatches
)

const (
	streamName    = "EVENTS"
	subjectPrefix = "events."
	// maxBatch is what the server takes in one atomic batch.
	maxBatch   = 1000
	ackTimeout = 30 * time.Second
	// maxMessage is what the product's log asks of a server.
	maxMessage = 18 << 20
)

// jetStreamLog is a NATS server in this process with a stream in a file store, and
// a client of it through memory, which is faster than over loopback. Records are
// filed by account and type, and duplicates are recognised by message id for two
// minutes, as by default.
type jetStreamLog struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	groups *groups[*nats.Msg] // nil unless batches are published
	batch  int                // number of batches; only the committer counts
}

func openJetStream(ctx context.Context, dir string, mode jetStreamMode) (*jetStreamLog, error) {
	s, err := startServer(dir, mode != lazySync)
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	return newJetStreamLog(ctx, s, mode)
}

// newJetStreamLog takes the server over: closing the log shuts it down.
func newJetStreamLog(ctx context.Context, s *server.Server, mode jetStreamMode) (_ *jetStreamLog, err error) {
	l := &jetStreamLog{server: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.conn, err = nats.Connect("", nats.InProcessServer(l.server)); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if l.js, err = jetstream.New(l.conn, jetstream.WithPublishAsyncMaxPending(8192)); err != nil {
		return nil, err
	}
	_, err = l.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:               streamName,
		Subjects:           []string{subjectPrefix + ">"},
		Storage:            jetstream.FileStorage,
		AllowAtomicPublish: mode == syncBatches,
	})
	if err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	if mode == syncBatches {
		l.groups = newGroups(maxBatch, l.publishBatch)
	}
	return l, nil
}

func startServer(dir string, syncAlways bool) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		DontListen: true,
		NoLog:      true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   dir,
		SyncAlways: syncAlways,
		MaxPayload: maxMessage,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return nil, errors.New("not ready within a minute")
	}
	return s, nil
}

// Append implements engine.
func (l *jetStreamLog) Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	messages := make([]*nats.Msg, len(records))
	for i := range records {
		messages[i] = message(&records[i])
	}
	if l.groups != nil {
		return stored(records, l.groups.add(ctx, messages...))
	}
	return stored(records, l.publish(ctx, messages))
}

func message(r *eventlog.Record) *nats.Msg {
	m := nats.NewMsg(subjectPrefix + r.WABAID + "." + r.Type)
	m.Header.Set(nats.MsgIdHdr, r.ID.String())
	m.Data = encode(make([]byte, 0, len(r.Payload)+len(r.Raw)+128), r)
	return m
}

// publish sends all messages before it waits: the fastest way the client has.
func (l *jetStreamLog) publish(ctx context.Context, messages []*nats.Msg) error {
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		var err error
		if futures[i], err = l.js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// publishBatch publishes atomically: the headers of each message say where in
// the batch it belongs, and the last one commits and is answered. One message
// needs no batch.
func (l *jetStreamLog) publishBatch(messages []*nats.Msg) error {
	ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
	defer cancel()
	if len(messages) == 1 {
		return l.publish(ctx, messages)
	}
	l.batch++
	last := len(messages) - 1
	for i, m := range messages {
		m.Header.Set("Nats-Batch-Id", strconv.Itoa(l.batch))
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i == last {
			break
		}
		if err := l.conn.PublishMsg(m); err != nil {
			return err
		}
	}
	messages[last].Header.Set("Nats-Batch-Commit", "1")
	// The client checks the answer's stream and error, which a batch has too.
	_, err := l.js.PublishMsg(ctx, messages[last])
	return err
}

// replay reads the messages of an account from the beginning to the newest.
func (l *jetStreamLog) replay(ctx context.Context, account string) (int, error) {
	consumer, err := l.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjectPrefix + account + ".>"},
		DeliverPolicy:  jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return 0, fmt.Errorf("create consumer: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return 0, fmt.Errorf("read messages: %w", err)
	}
	defer messages.Stop()
	for n := 1; ; n++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return n, fmt.Errorf("read message: %w", err)
		}
		about, err := m.Metadata()
		if err != nil {
			return n, err
		}
		if about.NumPending == 0 {
			return n, nil
		}
	}
}

// Close implements engine.
func (l *jetStreamLog) Close() error {
	if l.groups != nil {
		l.groups.close()
	}
	if l.conn != nil {
		l.conn.Close()
	}
	if l.server != nil {
		l.server.Shutdown()
		l.server.WaitForShutdown()
	}
	return nil
}
