package natslog

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"

	"github.com/nats-io/nats.go/jetstream"
)

// Beside the stream is an object store of JetStream with its name, whose objects hold
// the states of projections: what a new replica cannot fold, because the records are
// purged. It is a stream of its own, so that objects can be removed without a hole in the
// log's, and has the layout that other clients of object stores know: an object is
// messages with its chunks under one subject, and then one with what is known of it
// under another. It is read from the leader, as the log is.

// chunkBytes is how much of an object is in one message. One is sent after the other, so
// that appends to the log hardly wait.
const chunkBytes = 256 << 10

// bucketName is the name of the stream behind the object store.
func (l *Log) bucketName() string { return "OBJ_" + l.opts.Stream }

// bucketSubjects begins every subject of the object store.
func (l *Log) bucketSubjects() string { return "$O." + l.opts.Stream + "." }

func (l *Log) chunksSubject(id string) string { return l.bucketSubjects() + "C." + id }

// metaSubjects begins those of what is known of objects.
func (l *Log) metaSubjects() string { return l.bucketSubjects() + "M." }

func (l *Log) metaSubject(name string) string {
	return l.metaSubjects() + base64.URLEncoding.EncodeToString([]byte(name))
}

func (l *Log) bucketConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        l.bucketName(),
		Description: "states of wabastream that events were purged of; only wabastreamd writes here",
		Subjects:    []string{l.chunksSubject(">"), l.metaSubjects() + ">"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Replicas:    l.stream.CachedInfo().Config.Replicas,
		Duplicates:  dedupeWindow,
		AllowRollup: true, // other clients expect it
		Compression: jetstream.S2Compression,
		MaxMsgs:     -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
	}
}

// openBucket finds the object store, or makes it, and refuses one that may lose what is
// put there.
func (l *Log) openBucket(ctx context.Context) (err error) {
	if !regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString(l.opts.Stream) {
		return errors.New(`an object store is named after the stream: name it with A-Z, a-z, 0-9, "_" and "-" alone`)
	}
	what := "the object store of the stream, " + l.bucketName()
	if l.bucket, err = l.find(ctx, what, l.bucketConfig()); err != nil {
		return err
	}
	c := &l.bucket.CachedInfo().Config
	if wrong := l.risks(c); wrong != "" {
		return fmt.Errorf("%s, is configured in a way that may lose what it holds: %s: mend it with `nats stream edit %s`", what, wrong, l.bucketName())
	}
	return nil
}
