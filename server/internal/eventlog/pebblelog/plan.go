package pebblelog

import (
	"container/heap"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// maxPostings bounds the lists merged in one read; with more, a scan is cheaper.
const maxPostings = 64

// errTooMany says that a plan needs more lists than are worth it.
var errTooMany = errors.New("too many index lists")

// plan names index lists, by key prefix, that together hold every record the
// filters can match: for each filter those of its cheapest clause. Lists may
// hold more than that. Not ok: some filter has no clause with an index.
func (l *Log) plan(m *eventlog.Matcher) (prefixes []string, ok bool, err error) {
	seen := make(map[string]struct{})
	add := func(prefix []byte) error {
		seen[string(prefix)] = struct{}{}
		if len(seen) > maxPostings {
			return errTooMany
		}
		return nil
	}
	for _, f := range m.Filters() {
		ok, err := l.planFilter(&f, add)
		if errors.Is(err, errTooMany) {
			return nil, false, nil
		}
		if err != nil || !ok {
			return nil, false, err
		}
	}
	for prefix := range seen {
		prefixes = append(prefixes, prefix)
	}
	return prefixes, true, nil
}

func (l *Log) planFilter(f *eventlog.Filter, add func([]byte) error) (ok bool, err error) {
	switch {
	case len(f.WABAIDs) > 0 || f.Unattributed:
		texts := f.WABAIDs
		if f.Unattributed {
			texts = append([]string{""}, texts...)
		}
		return true, addTexts(wabaKind, texts, add)
	case len(f.BusinessPhones) > 0 && !slices.Contains(f.BusinessPhones, ""):
		return true, addTexts(phoneKind, f.BusinessPhones, add)
	case len(f.Types) > 0:
		return true, l.addTypes(f.Types, add)
	default:
		return false, nil
	}
}

func addTexts(kind byte, texts []string, add func([]byte) error) error {
	for _, text := range texts {
		if err := add(appendIndexPrefix(nil, kind, text)); err != nil {
			return err
		}
	}
	return nil
}

// addTypes adds the list of each path and of every type stored below it, which
// it finds by jumping from one list to the next.
func (l *Log) addTypes(paths []string, add func([]byte) error) error {
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{typeKind}, UpperBound: []byte{typeKind + 1}})
	if err != nil {
		return err
	}
	defer iter.Close()
	for _, path := range paths {
		if err := add(appendIndexPrefix(nil, typeKind, path)); err != nil {
			return err
		}
		below := append(appendEscaped([]byte{typeKind}, path), '.')
		end := append([]byte(nil), below...)
		end[len(end)-1]++
		for ok := iter.SeekGEWithLimit(below, end) == pebble.IterValid; ok; {
			key := iter.Key()
			prefix := append([]byte(nil), key[:len(key)-sequenceBytes]...)
			if err := add(prefix); err != nil {
				return err
			}
			ok = iter.SeekGEWithLimit(afterText(prefix), end) == pebble.IterValid
		}
		if err := iter.Error(); err != nil {
			return err
		}
	}
	return nil
}

// lookup merges index lists and fetches each record they name once. A list that
// cannot be read costs nothing but time: it goes on with a scan.
type lookup struct {
	log      *Log
	rest     span
	postings postings
	records  *pebble.Iterator
	last     eventlog.Sequence
	instead  source
}

func (l *Log) lookups(s span, prefixes []string) (source, error) {
	if s.empty() {
		return nothing{}, nil
	}
	records, err := l.records(s.after, s.upTo)
	if err != nil {
		return nil, err
	}
	k := &lookup{log: l, rest: s, records: records, postings: postings{reverse: s.reverse}}
	for _, prefix := range prefixes {
		if err := k.open([]byte(prefix)); err != nil {
			k.fallBack(err)
			break
		}
	}
	heap.Init(&k.postings)
	if !s.reverse && l.view.Load().start.seq > s.after {
		// Trimmed while the lists were opened: some may lack what others have.
		k.close()
		return nil, eventlog.ErrTrimmed
	}
	return k, nil
}

func (k *lookup) fallBack(cause error) {
	k.log.logger.Warn("index cannot be read; scanning", "error", cause)
	instead, err := k.log.scanOf(k.rest)
	if err != nil {
		instead = broken{err}
	}
	k.instead = instead
}

// broken is a source that could not be opened.
type broken struct{ err error }

func (b broken) next(names) (stored, error) { return stored{}, b.err }
func (broken) cost() int                    { return 0 }
func (broken) close()                       {}

func (k *lookup) open(prefix []byte) error {
	iter, err := k.log.db.NewIter(&pebble.IterOptions{
		LowerBound: appendSequence(slices.Clip(prefix), k.rest.after+1),
		UpperBound: appendSequence(slices.Clip(prefix), k.rest.upTo+1),
	})
	if err != nil {
		return err
	}
	move := iter.First
	if k.rest.reverse {
		move = iter.Last
	}
	if !move() {
		return iter.Close()
	}
	k.postings.lists = append(k.postings.lists, posting{seq: sequenceOf(iter.Key()), iter: iter})
	return nil
}

func (k *lookup) next(n names) (stored, error) {
	for k.instead == nil && len(k.postings.lists) > 0 {
		seq := k.postings.lists[0].seq
		if seq == k.last {
			if err := k.step(); err != nil {
				k.fallBack(err)
			}
			continue
		}
		found, err := k.fetch(seq, n)
		if err != nil {
			return stored{}, err
		}
		k.last, k.rest = seq, k.rest.behind(seq)
		return found, nil
	}
	if k.instead != nil {
		return k.instead.next(n)
	}
	return stored{}, errEnd
}

// step moves the list at the top of the heap on.
func (k *lookup) step() error {
	top := &k.postings.lists[0]
	move := top.iter.Next
	if k.rest.reverse {
		move = top.iter.Prev
	}
	if move() {
		top.seq = sequenceOf(top.iter.Key())
		heap.Fix(&k.postings, 0)
		return nil
	}
	return heap.Pop(&k.postings).(posting).iter.Close()
}

func (k *lookup) fetch(seq eventlog.Sequence, n names) (stored, error) {
	only := span{after: seq - 1, upTo: seq, reverse: k.rest.reverse}
	if !k.records.SeekPrefixGE(recordKey(seq)) {
		err := k.records.Error()
		if err == nil {
			err = errMissing
		}
		return stored{}, k.log.unreadable(only, err)
	}
	found, err := decode(seq, k.records.Value(), n)
	if err != nil {
		return stored{}, &eventlog.CorruptError{First: seq, Last: seq, Cause: err}
	}
	return found, nil
}

func (k *lookup) cost() int { return 4 }

func (k *lookup) close() {
	for _, p := range k.postings.lists {
		_ = p.iter.Close() // errors were seen at each step
	}
	_ = k.records.Close()
	if k.instead != nil {
		k.instead.close()
	}
}

// posting is one index list at its current record.
type posting struct {
	seq  eventlog.Sequence
	iter *pebble.Iterator
}

// postings is a heap whose top is the next record in the direction read.
type postings struct {
	lists   []posting
	reverse bool
}

func (p *postings) Len() int           { return len(p.lists) }
func (p *postings) Swap(i, j int)      { p.lists[i], p.lists[j] = p.lists[j], p.lists[i] }
func (p *postings) Less(i, j int) bool { return (p.lists[i].seq < p.lists[j].seq) != p.reverse }
func (p *postings) Push(x any)         { p.lists = append(p.lists, x.(posting)) }

func (p *postings) Pop() any {
	last := len(p.lists) - 1
	x := p.lists[last]
	p.lists = p.lists[:last]
	return x
}
