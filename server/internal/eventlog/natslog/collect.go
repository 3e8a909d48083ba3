package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// collector removes objects that the stream does not refer to, and parts of such: of
// earlier bases, and what crashes have left. What is being stored by another replica is
// not referred to either: it is told by its age, or by its place, as no base is ever
// behind one that there is.
type collector struct {
	log    *Log
	keep   map[string]bool
	newest place
	now    time.Time       // by the clock of the servers
	held   map[string]bool // ids of chunks that belong to an object
	doomed map[string]bool // and of those that belong to one that is removed
}

// collect removes what nothing refers to.
func (l *Log) collect(ctx context.Context) error {
	newest, err := l.newestBase(ctx)
	if err != nil {
		return err
	}
	keep, err := l.referenced(ctx, newest)
	if err != nil {
		return err
	}
	info, err := l.bucket.Info(ctx, jetstream.WithSubjectFilter(l.bucketSubjects()+">"))
	if err != nil {
		return fmt.Errorf("list the objects beside the stream: %w", err)
	}
	c := &collector{log: l, keep: keep, newest: newest.place(), now: info.TimeStamp, held: make(map[string]bool), doomed: make(map[string]bool)}
	for _, each := range []struct {
		prefix string
		do     func(ctx context.Context, subject string) error
	}{{l.metaSubjects(), c.object}, {l.chunksSubject(""), c.chunks}} {
		for subject := range info.State.Subjects {
			if !strings.HasPrefix(subject, each.prefix) {
				continue
			}
			if err := each.do(ctx, subject); err != nil {
				return fmt.Errorf("remove what nothing refers to beside the stream: %w", err)
			}
		}
	}
	return nil
}

// object removes what is known of an object.
func (c *collector) object(ctx context.Context, subject string) error {
	msg, err := c.log.bucket.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var info jetstream.ObjectInfo
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		return fmt.Errorf("object under %s: %w", subject, err)
	}
	if c.keep[info.Name] || !c.behind(&info) && !c.old(msg) {
		c.held[info.NUID] = true
		return nil
	}
	c.doomed[info.NUID] = true
	c.log.logger.Info("removing states that the stream does not refer to any more", "object", info.Name)
	return c.log.bucket.Purge(ctx, jetstream.WithPurgeSubject(subject))
}

// behind tells whether an object can become a base no more.
func (c *collector) behind(info *jetstream.ObjectInfo) bool {
	message, err := strconv.ParseUint(info.Metadata[metaMessage], 10, 64)
	return err == nil && message <= c.newest.message
}

func (c *collector) old(msg *jetstream.RawStreamMsg) bool {
	return c.now.Sub(msg.Time) > c.log.opts.ObjectWait
}

// chunks removes the bytes of an object that there is not.
func (c *collector) chunks(ctx context.Context, subject string) error {
	id := strings.TrimPrefix(subject, c.log.chunksSubject(""))
	if c.held[id] {
		return nil
	}
	if !c.doomed[id] {
		msg, err := c.log.bucket.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil || !c.old(msg) {
			return err
		}
	}
	return c.log.bucket.Purge(ctx, jetstream.WithPurgeSubject(subject))
}
