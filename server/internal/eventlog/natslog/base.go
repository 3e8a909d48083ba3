package natslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// baseMessage is a message under the subject of bases; nil is none.
type baseMessage struct {
	message uint64
	entry   *entry
}

func (b *baseMessage) at() uint64 {
	if b == nil {
		return 0
	}
	return b.message
}

// place is where a replica that has nothing begins; it is the beginning without a base.
func (b *baseMessage) place() place {
	if b == nil {
		return place{}
	}
	return b.entry.base
}

// newestBase asks the leader for the newest message under the subject of bases.
func (l *Log) newestBase(ctx context.Context) (*baseMessage, error) {
	msg, err := l.stream.GetLastMsgForSubject(ctx, l.subject(subjectBase))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the stream's base: %w", err)
	}
	return l.baseOf(msg)
}

func (l *Log) baseOf(msg *jetstream.RawStreamMsg) (*baseMessage, error) {
	e, err := decodeMessage(msg.Data, msg.Header)
	if err != nil {
		return nil, fmt.Errorf("message %d of the stream: %w", msg.Sequence, err)
	}
	return &baseMessage{message: msg.Sequence, entry: e}, nil
}

// objectError is one of an object of the store beside the stream.
type objectError struct {
	name  string
	cause error
}

func (e *objectError) Error() string {
	return fmt.Sprintf("object %s, which holds states that events were purged of: %v", e.name, e.cause)
}

func (e *objectError) Unwrap() error { return e.cause }

// damaged tells errors that waiting hardly mends.
func damaged(err error) bool {
	return errors.Is(err, errNoObject) || errors.Is(err, errCorruptObject) || errors.Is(err, errChecksum) || errors.Is(err, errMalformed)
}

// openBase opens an object that is of a place in this log's stream.
func (l *Log) openBase(ctx context.Context, name string, at place) (*baseReader, baseHead, error) {
	object, err := l.openObject(ctx, name)
	if err != nil {
		return nil, baseHead{}, &objectError{name, err}
	}
	r, head, err := newBaseReader(object)
	switch {
	case err != nil:
		return nil, baseHead{}, &objectError{name, err}
	case head.log != l.id || head.at != at:
		return nil, baseHead{}, &objectError{name, fmt.Errorf("it is of another place: %w", errCorruptObject)}
	}
	return r, head, nil
}

// checkBase reads an object as who begins there will.
func (l *Log) checkBase(ctx context.Context, name string, at place) error {
	r, _, err := l.openBase(ctx, name, at)
	if err != nil {
		return err
	}
	if err := r.parts(keepNothing); err != nil {
		return &objectError{name, err}
	}
	return nil
}

// storeBase stores the states that who begins at a place needs, if that is worth it, and
// makes sure that they can be read. The name is empty if there are none.
func (l *Log) storeBase(ctx context.Context, newest *baseMessage, at place, frees uint64) (name string, worth bool, err error) {
	bases, err := l.copy.Bases()
	if err != nil {
		return "", false, err
	}
	defer bases.Close()
	states, err := bases.States()
	if err != nil {
		return "", false, err
	}
	if len(states) == 0 {
		// What states of other replicas are made of stays.
		return "", newest == nil || len(newest.entry.objects) == 0, nil
	}
	for _, s := range states {
		if s.Base.Sequence < at.head {
			return "", false, fmt.Errorf("the state of projection %s is of %d, and a base of %d", s.Name, s.Base.Sequence, at.head)
		}
	}
	if frees/worthBases < l.baseSize {
		return "", false, nil
	}
	head := baseHead{log: l.id, at: at}
	if head.trimmed, err = bases.Trimmed(); err != nil {
		return "", false, err
	}
	if l.baseSize, err = writeBase(unlessEnded{ctx}, head, bases, states); err != nil || frees/worthBases < l.baseSize {
		return "", false, err
	}
	name = l.objectName(states)
	object := l.newObject(ctx, name)
	object.info.Metadata = map[string]string{metaMessage: strconv.FormatUint(at.message, 10)}
	if _, err = writeBase(object, head, bases, states); err == nil {
		err = object.close()
	}
	if err == nil {
		err = l.checkBase(ctx, name, at)
	}
	return name, err == nil, err
}

// unlessEnded takes what is written, and no more once its context has ended: what it is
// written from keeps the store open.
type unlessEnded struct{ ctx context.Context } //nolint:containedctx // a writer has no other way to have one

// Write implements io.Writer.
func (w unlessEnded) Write(b []byte) (int, error) { return len(b), w.ctx.Err() }

// writeBase writes the states of a moment and returns how many bytes they took.
func writeBase(w io.Writer, head baseHead, bases *pebblelog.Bases, states []pebblelog.StoredState) (uint64, error) {
	out := newBaseWriter(w, head)
	for _, s := range states {
		if err := out.state(s); err != nil {
			return 0, err
		}
		if err := bases.Read(s.Name, out.value, out.note); err != nil {
			return 0, err
		}
	}
	err := out.end()
	return out.size, err
}

// referenced are the objects that the stream refers to: those of its newest base, and
// those that an import begins with while its messages are there.
func (l *Log) referenced(ctx context.Context, newest *baseMessage) (map[string]bool, error) {
	keep := make(map[string]bool)
	if newest != nil {
		for _, name := range newest.entry.objects {
			keep[name] = true
		}
	}
	for next := uint64(1); ; {
		msg, err := l.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(l.subject(subjectBase)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return keep, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the stream's bases: %w", err)
		}
		b, err := l.baseOf(msg)
		if err != nil {
			return nil, err
		}
		if b.entry.kind != beginning {
			return keep, nil // nothing begins behind a base
		}
		for _, name := range b.entry.objects {
			keep[name] = true
		}
		next = b.message + 1
	}
}

// movedTo begins states where records do: imported ones of an earlier place are as of there, as nothing
// between was imported.
func movedTo(behind eventlog.Sequence, begin beginState) beginState {
	return func(s pebblelog.StoredState) (eventlog.StateImport, error) {
		if s.Base.Sequence < behind {
			s.Base = eventlog.Position{Sequence: behind}
		}
		return begin(s)
	}
}
