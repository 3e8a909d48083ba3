package natslog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// reconnectWait is how long the connection pauses before it tries a server again.
	reconnectWait = 250 * time.Millisecond
	// requestWait is how long one request to the servers may take.
	requestWait = 5 * time.Second
	// dedupeWindow is for how long the servers know the ids of messages: longer than
	// an append can go on sending the same message.
	dedupeWindow = 2 * time.Minute
	// minPayload is what the servers must at least take as a message. An append of
	// nothing but headers at their limits would need more, and is refused.
	minPayload = eventlog.MaxAppendBytes + 1<<20
)

// What the stream's metadata says.
const (
	metaLog    = "wabastream-log-id"
	metaWindow = "wabastream-window"
	metaFormat = "wabastream-format"
)

// connect connects, and waits for the servers as long as a start may.
func (l *Log) connect(ctx context.Context) error {
	o := &l.opts
	options := []nats.Option{
		nats.Name("wabastream"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.RetryOnFailedConnect(true),
		// What could not be sent is sent again by the append that it is of, and not by
		// the connection, later.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				l.logger.Warn("lost the connection to NATS; reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { l.logger.Info("reconnected to NATS", "server", c.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.logger.Warn("NATS", "error", err) }),
	}
	if o.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(o.CredentialsFile))
	}
	if o.CAFile != "" {
		options = append(options, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		options = append(options, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	conn, err := nats.Connect(o.URL, append(options, o.Connect...)...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	l.conn = conn
	if err := l.awaitConnection(ctx); err != nil {
		return err
	}
	if have := conn.MaxPayload(); have < minPayload {
		return fmt.Errorf("the NATS servers take messages of %d bytes, and one callback may need %d: set max_payload: %d in their configuration", have, minPayload, minPayload)
	}
	l.js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(requestWait))
	return err
}

func (l *Log) awaitConnection(ctx context.Context) error {
	patience := time.NewTimer(l.opts.StartWait)
	defer patience.Stop()
	changed := l.conn.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer l.conn.RemoveStatusListener(changed)
	for !l.conn.IsConnected() {
		select {
		case <-changed:
			if l.conn.IsClosed() {
				return fmt.Errorf("connect to NATS: %w", l.conn.LastError())
			}
		case <-patience.C:
			return fmt.Errorf("connect to NATS: none of the servers could be reached within %v: %w", l.opts.StartWait, l.conn.LastError())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (l *Log) subject(of string) string { return "wabastream." + l.opts.Stream + "." + of }

// The subjects of the stream. A base has one of its own to be found by.
const (
	subjectLog  = "log"
	subjectBase = "base"
)

func (l *Log) streamConfig() jetstream.StreamConfig {
	var id eventlog.LogID
	_, _ = rand.Read(id[:]) // never fails
	return jetstream.StreamConfig{
		Name:        l.opts.Stream,
		Description: "the event log of wabastream; only wabastreamd writes here",
		Subjects:    []string{l.subject(subjectLog), l.subject(subjectBase)},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew, // a full stream refuses, and removes nothing
		Replicas:    l.opts.Replicas,
		Duplicates:  dedupeWindow,
		DenyDelete:  true,
		MaxMsgs:     -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		Metadata: map[string]string{
			metaLog: id.String(), metaWindow: strconv.FormatUint(l.opts.Window, 10), metaFormat: "1",
		},
	}
}

// openStream finds the stream, or makes it.
func (l *Log) openStream(ctx context.Context) (err error) {
	if l.stream, err = l.find(ctx, "the stream", l.streamConfig()); err != nil {
		return err
	}
	return l.checkStream(&l.stream.CachedInfo().Config)
}

// find finds a stream, or makes it. Of two replicas that make one at once one finds the
// other's.
func (l *Log) find(ctx context.Context, what string, config jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.StartWait)
	defer cancel()
	for {
		stream, err := l.tryStream(ctx, config)
		if err == nil {
			return stream, nil
		}
		if permanent(err) {
			return nil, fmt.Errorf("find %s: %w", what, err)
		}
		l.logger.Info("waiting for JetStream", "to_have", what, "error", err)
		if !pause(ctx, time.Second) {
			return nil, fmt.Errorf("find %s within %v: %w", what, l.opts.StartWait, err)
		}
	}
}

func (l *Log) tryStream(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	stream, err := l.js.Stream(ctx, config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = l.js.CreateStream(ctx, config)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		stream, err = l.js.Stream(ctx, config.Name)
	}
	return stream, err
}

// permanent tells errors that waiting does not mend. Most are none of these: a cluster
// that has just begun lacks peers, or a leader.
func permanent(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, jetstream.ErrInvalidStreamName)
}

// checkStream refuses a stream that is not ours, or that may lose what it acknowledged.
func (l *Log) checkStream(c *jetstream.StreamConfig) error {
	id, err := hex.DecodeString(c.Metadata[metaLog])
	if err != nil || len(id) != len(l.id) {
		return errors.New("the stream was not made by wabastream: choose another name")
	}
	copy(l.id[:], id)
	if l.opts.Window, err = strconv.ParseUint(c.Metadata[metaWindow], 10, 64); err != nil || c.Metadata[metaFormat] != "1" {
		return errors.New("the stream was made by another release of wabastream, whose format this one does not read")
	}
	if wrong := l.risks(c); wrong != "" {
		return fmt.Errorf("the stream is configured in a way that may lose events: %s: mend it with `nats stream edit`", wrong)
	}
	return nil
}

// risks are why a stream may lose what it acknowledged.
func (l *Log) risks(c *jetstream.StreamConfig) string {
	var wrong []string
	for _, check := range []struct {
		wrong bool
		what  string
	}{
		{c.Storage != jetstream.FileStorage, "storage must be file"},
		{c.Retention != jetstream.LimitsPolicy, "retention must be limits"},
		{c.Discard != jetstream.DiscardNew, "discard must be new"},
		{c.MaxAge != 0 || c.MaxMsgs > 0 || c.MaxMsgsPerSubject > 0, "max_age, max_msgs and max_msgs_per_subject must not be set: retention is wabastream's"},
		{c.Replicas < l.opts.Replicas, fmt.Sprintf("it has %d replicas and not %d", c.Replicas, l.opts.Replicas)},
		{c.Duplicates < dedupeWindow, fmt.Sprintf("duplicate_window must be %v", dedupeWindow)},
	} {
		if check.wrong {
			wrong = append(wrong, check.what)
		}
	}
	return strings.Join(wrong, "; ")
}

// pause waits, and reports whether the context goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
