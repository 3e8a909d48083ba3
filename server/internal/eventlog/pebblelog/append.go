package pebblelog

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Append implements eventlog.Log.
func (l *Log) Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	if l.follows != nil {
		return nil, errFollows
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := eventlog.CheckAppend(records); err != nil {
		return nil, err
	}
	r := &request{
		records: make([]staged, len(records)),
		answers: make([]eventlog.Appended, len(records)),
	}
	for i := range records {
		r.records[i] = stage(&records[i])
		r.bytes += len(r.records[i].value)
	}
	if err := l.await(ctx, r); err != nil {
		return nil, err
	}
	return r.answers, nil
}

// await hands a request to the committer and waits for its group.
func (l *Log) await(ctx context.Context, r *request) error {
	g, err := l.queue.submit(r)
	if err != nil {
		return err
	}
	select {
	case <-g.done:
		if g.err != nil {
			return g.err
		}
		return r.refused
	case <-ctx.Done():
		return ctx.Err()
	case <-l.failure.failed:
		return l.failure.asFailed()
	}
}

// commitAll is the one goroutine that commits records: it gives out sequences
// and stamps without a lock, and everything that waited while the disk was busy
// shares the next sync.
func (l *Log) commitAll() {
	for g := l.queue.take(); g != nil; g = l.queue.take() {
		g.err = l.commit(g)
		close(g.done)
	}
}

// commit makes a group durable, then visible. Its answers hold only if it
// returns nil.
func (l *Log) commit(g *group) error {
	if err := l.failure.asFailed(); err != nil {
		return err
	}
	batch := l.db.NewBatchWithSize(g.bytes + 64*len(g.requests))
	defer batch.Close()
	stamp := max(stampOf(l.now()), l.lastStamp)
	head, added := l.placeAll(batch, g, stamp)
	if len(added) > 0 {
		l.space.spend(batch.Len())
		if err := l.apply(batch, pebble.Sync); err != nil {
			return err
		}
		l.lastStamp = stamp
		l.publish(head, added)
	}
	l.pass(g)
	return nil
}

// placeAll puts a group's records into the batch, in order, and answers its
// requests. While the log is full it refuses those that would add something.
func (l *Log) placeAll(batch *pebble.Batch, g *group, stamp int64) (head point, added []placed) {
	full := l.space.check()
	for _, r := range g.requests {
		if full != nil && !l.knows(r, stamp) {
			r.refused = full
			continue
		}
		for i := range r.records {
			answer, p := l.place(batch, &r.records[i], stamp)
			r.answers[i] = answer
			if !answer.Duplicate {
				head, added = p, append(added, r.records[i].placedAt(p))
			}
		}
	}
	return head, added
}

// place puts a record into the batch, or finds its first copy.
func (l *Log) place(batch *pebble.Batch, s *staged, stamp int64) (eventlog.Appended, point) {
	id := s.header.ID
	if e, ok := l.recall(id, stamp); ok {
		return eventlog.Appended{Position: l.firstCopy(id, e), Duplicate: true}, point{}
	}
	p := point{seq: l.next, fingerprint: eventlog.FingerprintOf(id, timeOf(stamp)), stamp: stamp}
	l.next++
	s.seal(p.seq, stamp)
	op := batch.SetDeferred(1+sequenceBytes, len(s.value))
	copy(op.Key, recordKey(p.seq))
	copy(op.Value, s.value)
	_ = op.Finish() // fails for indexed batches only
	l.ids.add(id, idEntry{seq: p.seq, stamp: stamp, horizon: s.horizon})
	return eventlog.Appended{Position: l.position(p)}, p
}

// knows tells whether a request adds nothing to the log.
func (l *Log) knows(r *request, stamp int64) bool {
	for i := range r.records {
		if _, ok := l.recall(r.records[i].header.ID, stamp); !ok {
			return false
		}
	}
	return true
}

// recall finds a record that makes one with the same id a duplicate now.
func (l *Log) recall(id eventlog.ID, stamp int64) (idEntry, bool) {
	e, ok, maybe := l.ids.find(id, stamp)
	if maybe {
		l.ids.lookedUp()
		var err error
		if e, ok, err = l.storedID(id); err != nil {
			// An event stored twice is told apart by its id; one refused is lost.
			l.logger.Warn("duplicates may be stored: cannot look an id up", "error", err)
		}
	}
	return e, ok && stamp < e.expires()
}

// firstCopy is zero when retention has removed the copy.
func (l *Log) firstCopy(id eventlog.ID, e idEntry) eventlog.Position {
	if e.seq <= l.view.Load().start.seq {
		return eventlog.Position{}
	}
	return l.position(point{seq: e.seq, fingerprint: eventlog.FingerprintOf(id, timeOf(e.stamp))})
}

// publish makes durable records known, in an order in which nothing that can be
// seen is missing from what finds it.
func (l *Log) publish(head point, added []placed) {
	l.index.add(added)
	l.advance(head)
	if l.index.behind() {
		// More must not wait for the index than memory keeps ids for.
		if err := l.index.write(); err != nil {
			l.logger.Warn("index is behind", "error", err)
		}
	}
}

// pass raises the stamp of later records for the calls of Seek in the group, so
// that a clock that goes back cannot take their answers back.
func (l *Log) pass(g *group) {
	for _, r := range g.requests {
		if r.reached != 0 && stampFrom(l.now()) >= r.reached {
			l.lastStamp = max(l.lastStamp, r.reached)
		}
	}
}
