package natslog

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

var (
	errNoObject      = errors.New("the object store does not have it")
	errCorruptObject = errors.New("its bytes are not those that were stored")
)

// metaMessage says in an object's metadata which message its states are of.
const metaMessage = "wabastream-message"

// objectName makes a name for states that is used once.
func (l *Log) objectName(states []pebblelog.StoredState) string {
	names := make([]string, len(states))
	newest := states[0].Base.Sequence
	for i := range states {
		names[i] = states[i].Name
		newest = max(newest, states[i].Base.Sequence)
	}
	return fmt.Sprintf("%s/%s/%d/%s", l.id, strings.Join(names, "+"), newest, nuid.Next())
}

// objectWriter stores an object. Until it was closed there is none.
type objectWriter struct {
	log   *Log
	ctx   context.Context //nolint:containedctx // one object's, like the rest of this struct
	info  jetstream.ObjectInfo
	chunk []byte
	sum   hash.Hash
}

func (l *Log) newObject(ctx context.Context, name string) *objectWriter {
	return &objectWriter{log: l, ctx: ctx, chunk: make([]byte, 0, chunkBytes), sum: sha256.New(), info: jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkBytes}},
		Bucket:     l.opts.Stream, NUID: nuid.Next(),
	}}
}

// Write implements io.Writer.
func (w *objectWriter) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 {
		n := min(len(b), chunkBytes-len(w.chunk))
		w.chunk, b = append(w.chunk, b[:n]...), b[n:]
		if len(w.chunk) < chunkBytes {
			break
		}
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	return written, nil
}

func (w *objectWriter) flush() error {
	w.sum.Write(w.chunk)
	w.info.Size += uint64(len(w.chunk))
	w.info.Chunks++
	err := w.send(w.log.chunksSubject(w.info.NUID), fmt.Sprint(w.info.NUID, w.info.Chunks), w.chunk)
	w.chunk = w.chunk[:0]
	return err
}

func (w *objectWriter) send(subject, id string, data []byte) error {
	msg := nats.NewMsg(subject)
	msg.Data = data
	msg.Header.Set(nats.MsgIdHdr, id)
	if _, err := w.log.send(w.ctx, w.log.bucketName(), msg); err != nil {
		return fmt.Errorf("store object %s: %w", w.info.Name, err)
	}
	return nil
}

// close makes the object one.
func (w *objectWriter) close() error {
	if len(w.chunk) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.info.Digest = jetstream.GetObjectDigestValue(w.sum)
	meta, err := json.Marshal(&w.info)
	if err != nil {
		return err
	}
	return w.send(w.log.metaSubject(w.info.Name), w.info.NUID, meta)
}

// objectReader reads an object. What it has given is whole when it ends with io.EOF.
type objectReader struct {
	log   *Log
	ctx   context.Context //nolint:containedctx // one object's, like the rest of this struct
	info  jetstream.ObjectInfo
	next  uint64 // message
	chunk []byte
	got   uint32
	sum   hash.Hash
}

// openObject finds an object. Errors: one that matches errNoObject.
func (l *Log) openObject(ctx context.Context, name string) (*objectReader, error) {
	msg, err := l.bucket.GetLastMsgForSubject(ctx, l.metaSubject(name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errNoObject
	}
	if err != nil {
		return nil, err
	}
	r := &objectReader{log: l, ctx: ctx, next: 1, sum: sha256.New()}
	if err := json.Unmarshal(msg.Data, &r.info); err != nil || r.info.NUID == "" {
		return nil, errCorruptObject
	}
	if r.info.Deleted {
		return nil, errNoObject
	}
	return r, nil
}

// Read implements io.Reader.
func (r *objectReader) Read(b []byte) (int, error) {
	for len(r.chunk) == 0 {
		if r.got == r.info.Chunks {
			return 0, r.finish()
		}
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// fetch gets the next chunk. It is asked for again if need be, so that the loss of a
// server does not begin the whole object again.
func (r *objectReader) fetch() error {
	for tries, wait := 1, minRetry; ; tries, wait = tries+1, min(2*wait, maxRetry) {
		msg, err := r.log.bucket.GetMsg(r.ctx, r.next, jetstream.WithGetMsgSubject(r.log.chunksSubject(r.info.NUID)))
		if err == nil {
			r.chunk, r.next = msg.Data, msg.Sequence+1
			r.got++
			r.sum.Write(r.chunk)
			return nil
		}
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return errNoObject // or no more, as it is removed meanwhile
		}
		if tries == objectTries || !pause(r.ctx, wait) {
			return err
		}
	}
}

func (r *objectReader) finish() error {
	if jetstream.GetObjectDigestValue(r.sum) != r.info.Digest {
		return errCorruptObject
	}
	return io.EOF
}

// objectTries is how often something is asked of the object store that may be said
// otherwise the next time.
const objectTries = 6
