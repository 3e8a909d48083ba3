package natslog

import (
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// fold makes the log of the stream's messages. It is pure: what it makes of a message
// follows from that message and the ones before it, so that every replica has the same
// records with the same sequences and stamps.
//
// And it follows from few of them. Whether a record is a duplicate of an earlier one
// is decided in two parts: the writer looks for it in everything that it had seen, by
// its index, and writes into the message up to where that was; the fold looks for it
// in the messages between there and the message. Messages that were under way for
// longer than width others are void: their writers look again. So a replica can begin
// anywhere, with the width messages before.
type fold struct {
	log   eventlog.LogID
	width uint64
	at    place

	// mentions are the ids of the last messages, and which of them had them.
	mentions map[eventlog.ID]mention
	recent   []mentioned // in the order of the stream
}

// mention is where an id was last.
type mention struct {
	message  uint64
	position eventlog.Position // of the record; zero if it is not known
}

type mentioned struct {
	id      eventlog.ID
	message uint64
}

// verdict is what became of a message.
type verdict struct {
	// void says that it came too late and counts for nothing.
	void bool
	// answers are those of a callback's records. A duplicate whose first copy was in
	// a message from before the fold began has no position.
	answers []eventlog.Appended
}

func newFold(log eventlog.LogID, width uint64, at place) *fold {
	return &fold{log: log, width: width, at: at, mentions: make(map[eventlog.ID]mention)}
}

// recall takes in a message that is before the place where the fold begins.
func (f *fold) recall(message uint64, e *entry) {
	f.forget(message)
	if f.late(message, e) {
		return
	}
	for i := range e.records {
		f.mention(&e.records[i], message, eventlog.Position{})
	}
}

// late tells whether a message was under way for too long.
func (f *fold) late(message uint64, e *entry) bool {
	return e.kind == callback && message > e.seen.message+f.width
}

// forget drops what no later message can be a duplicate of.
func (f *fold) forget(message uint64) {
	n := 0
	for ; n < len(f.recent) && f.recent[n].message+f.width < message; n++ {
		if m := f.recent[n]; f.mentions[m.id].message == m.message {
			delete(f.mentions, m.id)
		}
	}
	f.recent = f.recent[n:]
}

func (f *fold) mention(r *eventlog.Record, message uint64, at eventlog.Position) {
	if r.Horizon <= 0 {
		return // never a duplicate's first copy
	}
	f.mentions[r.ID] = mention{message: message, position: at}
	f.recent = append(f.recent, mentioned{id: r.ID, message: message})
}

// take takes in the next message. It returns the entries that it adds to the log.
func (f *fold) take(message uint64, e *entry) ([]eventlog.Entry, verdict) {
	f.forget(message)
	f.at.message = message
	switch {
	case f.late(message, e):
		return nil, verdict{void: true}
	case e.kind == imported:
		return f.takeImport(e)
	case e.kind == beginning:
		return nil, f.begin(e)
	}
	f.at.stamp = max(f.at.stamp, e.stamp)
	if e.kind != callback {
		return nil, verdict{}
	}
	var added []eventlog.Entry
	v := verdict{answers: make([]eventlog.Appended, len(e.records))}
	for i := range e.records {
		r := &e.records[i]
		if m, ok := f.mentions[r.ID]; ok && m.message > e.seen.message {
			f.mention(r, message, m.position)
			v.answers[i] = eventlog.Appended{Position: m.position, Duplicate: true}
			continue
		}
		entry := f.place(r, f.at.head+1)
		f.mention(r, message, entry.Position)
		v.answers[i] = eventlog.Appended{Position: entry.Position}
		added = append(added, entry)
	}
	return added, v
}

func (f *fold) place(r *eventlog.Record, seq eventlog.Sequence) eventlog.Entry {
	stamp := timeOf(f.at.stamp)
	f.at.head, f.at.fingerprint = seq, eventlog.FingerprintOf(r.ID, stamp)
	return eventlog.Entry{
		Record:     *r,
		Position:   eventlog.Position{Log: f.log, Sequence: seq, Fingerprint: f.at.fingerprint},
		AppendTime: stamp,
	}
}

// takeImport takes in records as they were, unless something came in between.
func (f *fold) takeImport(e *entry) ([]eventlog.Entry, verdict) {
	if e.seen.head != f.at.head || len(e.entries) == 0 || !f.follow(e.entries) {
		return nil, verdict{void: true}
	}
	added := make([]eventlog.Entry, len(e.entries))
	for i := range e.entries {
		f.at.stamp = e.entries[i].AppendTime.UnixMicro()
		added[i] = f.place(&e.entries[i].Record, e.entries[i].Position.Sequence)
	}
	return added, verdict{}
}

// begins tells whether a beginning is one: nothing came before.
func (f *fold) begins(e *entry) bool {
	return e.kind == beginning && e.seen.head == 0 && f.at.head == 0
}

// begin has the log begin behind a sequence, with a stamp that those of what is imported
// are not before.
func (f *fold) begin(e *entry) verdict {
	if !f.begins(e) {
		return verdict{void: true}
	}
	f.at.head, f.at.fingerprint, f.at.stamp = e.upTo, 0, e.stamp
	return verdict{}
}

// follow tells whether entries come behind the log's head, in order.
func (f *fold) follow(entries []eventlog.Entry) bool {
	seq, stamp := f.at.head, timeOf(f.at.stamp)
	if f.at.head == 0 {
		stamp = time.Time{} // a tick may have come before
	}
	for i := range entries {
		if e := &entries[i]; e.Position.Sequence <= seq || e.AppendTime.Before(stamp) {
			return false
		}
		seq, stamp = entries[i].Position.Sequence, entries[i].AppendTime
	}
	return true
}
