package natslog

import "sync/atomic"

// witness compares what other replicas have made of the stream with what this one has:
// each message says where its writer stood. It is the reader's alone, but for the count.
type witness struct {
	places []place // of the last messages, each at its number modulo the length
	count  atomic.Uint64
}

func newWitness(width uint64, at place) *witness {
	w := &witness{places: make([]place, width)}
	w.stand(at)
	return w
}

// stand notes what this replica has made of the stream up to a message.
func (w *witness) stand(at place) { w.places[at.message%uint64(len(w.places))] = at }

// disagrees compares where a writer stood with what this replica had made of the stream
// there, which it returns. What was too long ago, or before this replica began, is not
// compared.
func (w *witness) disagrees(seen place) (here place, disagrees bool) {
	here = w.places[seen.message%uint64(len(w.places))]
	return here, seen.message != 0 && here.message == seen.message && here != seen
}

// Disagreements counts the messages whose writers had made another log of the stream
// than this replica. None ever should: then a position of one replica is refused by
// another. It starts at zero with each Open.
func (l *Log) Disagreements() uint64 { return l.witness.count.Load() }

// compare tells the operator, once, of a replica that has another log. It goes on: what
// each of them holds was acknowledged, and a reader that comes from one to the other is
// told by the fingerprint of its position.
func (l *Log) compare(m received) {
	here, disagrees := l.witness.disagrees(m.entry.seen)
	if !disagrees || l.witness.count.Add(1) > 1 {
		return
	}
	l.logger.Error("replicas disagree: whoever wrote a message has another log than this one. Stop the replica that differs from the others, remove its folder, and start it: it is filled from the stream",
		"message", m.message, "folder", l.folder(), "up_to_message", here.message,
		"sequence_here", here.head, "sequence_there", m.entry.seen.head,
		"fingerprint_here", here.fingerprint, "fingerprint_there", m.entry.seen.fingerprint)
}
