package natslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// pullExpiry and pullHeartbeat are how the consumer is asked for messages: when two
	// heartbeats are missing it is made again.
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second
	// pullBytes is what may be on its way to this replica.
	pullBytes = 64 << 20
	// consumerWait is how long the servers may take to make one: without a leader they
	// do not answer.
	consumerWait = 2 * time.Second
	// consumerIdle is after how long the servers remove a consumer that nobody asks.
	consumerIdle = time.Minute
	// watchEvery is how often the reader is compared with the stream.
	watchEvery = 3 * time.Second
	// stepMessages and stepBytes bound what is taken in at once.
	stepMessages = 1024
	stepBytes    = 4 << 20
	// checksumTries is how often a message is fetched whose checksum does not match:
	// another server may have it whole.
	checksumTries = 5
	// fullPause is how long the reader waits for room on the replica's disk.
	fullPause = time.Second
)

// received is a message of the stream.
type received struct {
	message uint64
	id      string
	entry   *entry
}

// reader takes in the stream, in order, for the whole replica. Its consumer may stall,
// vanish or skip messages: then it is made again behind the last message taken in.
type reader struct {
	log   *Log
	next  uint64 // the message that must come next
	sums  int    // checksums that did not match in a row
	holes int    // consumers in a row that began behind next
}

// errStalled says that a consumer is to be made again.
var errStalled = errors.New("messages stopped coming")

func (l *Log) follow(first uint64) {
	r := reader{log: l, next: first}
	for wait := minRetry; l.running.Err() == nil; wait = min(2*wait, maxRetry) {
		before := r.next
		err := r.consume(l.running)
		if l.running.Err() != nil {
			return
		}
		if hole, ok := errors.AsType[*fatalError](err); ok {
			l.fail(hole)
			return
		}
		l.logger.Warn("reading the stream; trying again", "next", r.next, "error", err)
		if r.next > before {
			wait = minRetry
		}
		pause(l.running, wait)
	}
}

// fatalError is one that trying again does not mend.
type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

func fatal(format string, args ...any) error { return &fatalError{fmt.Errorf(format, args...)} }

// consume makes a consumer and takes in what it gives, until something is wrong.
func (r *reader) consume(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	consumer, err := r.consumer(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		// Or the servers remove it once it was idle.
		_ = r.log.stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
	}()
	messages := make(chan jetstream.Msg, stepMessages)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		select {
		case messages <- msg:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxBytes(pullBytes), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { cancel(err) }))
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	defer func() { <-consuming.Closed() }()
	defer consuming.Stop()
	defer cancel(nil) // lets the handler go
	watching := make(chan struct{})
	go func() { defer close(watching); r.log.watch(ctx, cancel) }()
	defer func() { <-watching }()
	defer cancel(nil)
	for first := true; ; first = false {
		select {
		case msg := <-messages:
			if err := r.step(msg, messages, first); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errStalled, context.Cause(ctx))
		}
	}
}

func (r *reader) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, consumerWait)
	defer cancel()
	consumer, err := r.log.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Description:       "a replica of wabastream",
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.next,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: consumerIdle,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, fmt.Errorf("make a consumer: %w", err)
	}
	return consumer, nil
}

// watch ends a consumer that gives nothing although the stream has more.
func (l *Log) watch(ctx context.Context, end context.CancelCauseFunc) {
	again := time.NewTicker(watchEvery)
	defer again.Stop()
	for {
		before := l.read.Load()
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		last, err := l.lastMessage(ctx)
		if err != nil {
			continue // that nothing comes then is no wonder
		}
		if now := l.read.Load(); now == before && last > now {
			end(errStalled)
			return
		}
	}
}

// step takes in a message and those that have come behind it.
func (r *reader) step(msg jetstream.Msg, more <-chan jetstream.Msg, first bool) error {
	var batch []received
	for bytes := 0; ; {
		m, err := r.read(msg, first)
		if err != nil {
			return errors.Join(r.takeIn(batch), err)
		}
		first = false
		batch = append(batch, m)
		if bytes += len(msg.Data()); bytes >= stepBytes || len(batch) >= stepMessages {
			return r.takeIn(batch)
		}
		select {
		case msg = <-more:
		default:
			return r.takeIn(batch)
		}
	}
}

// read checks that a message is the next one.
func (r *reader) read(msg jetstream.Msg, first bool) (received, error) {
	about, err := msg.Metadata()
	if err != nil {
		return received{}, fmt.Errorf("message of the stream: %w", err)
	}
	message := about.Sequence.Stream
	switch {
	case message == r.next:
	case message > r.next && first && r.holes >= checksumTries:
		return received{}, fatal("the stream lacks messages %d to %d: this replica has fallen behind what is kept, or they are lost; start again", r.next, message-1)
	case message > r.next && first:
		r.holes++
		fallthrough
	default:
		return received{}, fmt.Errorf("%w: message %d came instead of %d", errStalled, message, r.next)
	}
	e, err := decodeMessage(msg.Data(), msg.Headers())
	switch {
	case errors.Is(err, errChecksum) && r.sums < checksumTries:
		r.sums++
		return received{}, fmt.Errorf("message %d of the stream: %w", message, err)
	case err != nil:
		return received{}, fatal("message %d of the stream: %w", message, err)
	}
	r.next, r.sums, r.holes = message+1, 0, 0
	r.log.read.Store(message)
	return received{message: message, id: msg.Headers().Get(nats.MsgIdHdr), entry: e}, nil
}

// takeIn folds messages, stores what they add, and then tells of it.
func (r *reader) takeIn(batch []received) error {
	l := r.log
	var entries []eventlog.Entry
	var told []received
	var verdicts []verdict
	for _, m := range batch {
		if m.message <= l.fold.at.message {
			l.fold.recall(m.message, m.entry)
			continue
		}
		l.compare(m)
		begins := l.fold.begins(m.entry)
		added, v := l.fold.take(m.message, m.entry)
		l.witness.stand(l.fold.at)
		if begins {
			if err := l.beginImported(m.entry); err != nil {
				return fatal("message %d of the stream: %w", m.message, err)
			}
		}
		entries = append(entries, added...)
		told, verdicts = append(told, m), append(verdicts, v)
		if m.entry.kind == trim || m.entry.kind == trimType {
			l.hear(control{message: m.message, entry: m.entry})
		}
	}
	if len(told) == 0 {
		return nil
	}
	if err := l.store(entries, l.fold.at); err != nil {
		return fatal("store in the replica's copy: %w", err)
	}
	l.tell(l.fold.at, told, verdicts)
	return nil
}

// store waits where the replica's disk is full: its appends are not answered
// meanwhile, and it falls behind.
func (l *Log) store(entries []eventlog.Entry, at place) error {
	for {
		l.mu.Lock()
		mark := l.mark(at, l.trims)
		l.mu.Unlock()
		err := l.copy.Store(entries, mark)
		if !errors.Is(err, eventlog.ErrFull) {
			return err
		}
		l.logger.Error("the replica's disk is full: it takes in nothing until there is room", "error", err)
		if !pause(l.running, fullPause) {
			return context.Cause(l.running)
		}
	}
}

// tell moves the place on and answers who waits for what became of a message.
func (l *Log) tell(at place, messages []received, verdicts []verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pulse.beat()
	l.at = at
	close(l.moved)
	l.moved = make(chan struct{})
	for i, m := range messages {
		if became, ok := l.waiting[m.id]; ok {
			became <- verdicts[i] // has room: a message is taken in once
			delete(l.waiting, m.id)
		}
	}
	l.wakeTrims()
}
