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

// listRange is one list of the index, or all whose text begins with its text.
type listRange struct {
	list
	below bool
}

// bounds are the keys from the first to behind the last.
func (r listRange) bounds() (from, to []byte) {
	if !r.below {
		prefix := appendIndexPrefix(nil, r.kind, r.text)
		return prefix, afterText(prefix)
	}
	from = appendEscaped([]byte{r.kind}, r.text)
	to = slices.Clone(from)
	to[len(to)-1]++
	return from, to
}

func listOf(kind byte, text string) listRange { return listRange{list: list{kind, text}} }

// typesBelow are the lists of all types below a path.
func typesBelow(path string) listRange {
	return listRange{list: list{typeKind, path + "."}, below: true}
}

// planOf names ranges of the index that together hold every record the filters
// can match: for each filter those of its cheapest clause. They may hold more
// than that. Not ok: some filter has no clause with an index, or they are too
// many to be worth it.
func planOf(m *eventlog.Matcher) (ranges []listRange, ok bool) {
	for _, f := range m.Filters() {
		of := planFilter(&f)
		if ranges = append(ranges, of...); len(ranges) > maxPostings {
			ranges = distinct(ranges) // filters may name the same accounts
		}
		if len(of) == 0 || len(ranges) > maxPostings {
			return nil, false
		}
	}
	return ranges, len(ranges) > 0
}

func distinct(ranges []listRange) []listRange {
	seen := make(map[listRange]struct{}, len(ranges))
	return slices.DeleteFunc(ranges, func(r listRange) bool {
		_, again := seen[r]
		seen[r] = struct{}{}
		return again
	})
}

// planFilter goes by accounts, else phones, else types: by the first of which the
// filter names some, and not too many.
func planFilter(f *eventlog.Filter) []listRange {
	var ranges []listRange
	switch {
	case f.ByAccount() && (len(f.WABAIDs) == 0 || few(f.WABAIDs)):
		if f.Unattributed {
			ranges = append(ranges, listOf(wabaKind, ""))
		}
		for _, waba := range f.WABAIDs {
			ranges = append(ranges, listOf(wabaKind, waba))
		}
	case few(f.BusinessPhones) && !slices.Contains(f.BusinessPhones, ""):
		for _, phone := range f.BusinessPhones {
			ranges = append(ranges, listOf(phoneKind, phone))
		}
	default:
		for _, path := range f.Types {
			ranges = append(ranges, listOf(typeKind, path), typesBelow(path))
		}
	}
	return ranges
}

func few(values []string) bool { return len(values) > 0 && len(values) <= maxPostings }

// lists are the prefixes of the lists in some ranges, each once. Those of a range
// of many are found by jumping from one to the next. Not ok: they are too many.
func (l *Log) lists(ranges []listRange) (prefixes []string, ok bool, err error) {
	for _, r := range ranges {
		if from, _ := r.bounds(); !r.below {
			prefixes = append(prefixes, string(from))
		} else if prefixes, err = l.appendLists(prefixes, r); err != nil {
			return nil, false, err
		}
	}
	slices.Sort(prefixes)
	prefixes = slices.Compact(prefixes)
	return prefixes, len(prefixes) <= maxPostings, nil
}

func (l *Log) appendLists(prefixes []string, r listRange) ([]string, error) {
	from, to := r.bounds()
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return prefixes, err
	}
	defer iter.Close()
	for ok := iter.First(); ok && len(prefixes) <= maxPostings; {
		key := iter.Key()
		prefix := key[:len(key)-sequenceBytes]
		prefixes = append(prefixes, string(prefix))
		ok = iter.SeekGE(afterText(prefix))
	}
	return prefixes, iter.Error()
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

// lookups goes through a span by the index in the store.
func (l *Log) lookups(s span, ranges []listRange) (source, error) {
	prefixes, ok, err := l.lists(ranges)
	if err != nil {
		l.logger.Warn("index cannot be read; scanning", "error", err)
	}
	if err != nil || !ok {
		return l.scanOf(s)
	}
	records, err := l.records(s.after, s.upTo)
	if err != nil {
		return nil, err
	}
	k := &lookup{log: l, rest: s, records: records, postings: postings{reverse: s.reverse}}
	if err := k.postings.open(l.db, s, prefixes); err != nil {
		k.fallBack(err)
	}
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

func (k *lookup) next(n names) (stored, error) {
	for k.instead == nil && len(k.postings.lists) > 0 {
		seq := k.postings.lists[0].seq
		if seq == k.last {
			if err := k.postings.step(); err != nil {
				k.fallBack(err)
			}
			continue
		}
		found, err := k.log.fetch(k.records, seq, k.rest.reverse, n)
		_, removed := errors.AsType[*removedError](err)
		if err != nil && !removed {
			return stored{}, err
		}
		k.last, k.rest = seq, k.rest.behind(seq)
		if removed {
			continue // after its posting was read
		}
		return found, nil
	}
	if k.instead != nil {
		return k.instead.next(n)
	}
	return stored{}, errEnd
}

// fetch reads a record that the index names.
func (l *Log) fetch(records *pebble.Iterator, seq eventlog.Sequence, reverse bool, n names) (stored, error) {
	only := span{after: seq - 1, upTo: seq, reverse: reverse}
	if !records.SeekPrefixGE(recordKey(seq)) {
		err := records.Error()
		if err == nil {
			err = errMissing
		}
		return stored{}, l.unreadable(only, err)
	}
	found, err := decode(seq, records.Value(), n)
	if err != nil {
		return stored{}, &eventlog.CorruptError{First: seq, Last: seq, Cause: err}
	}
	return found, nil
}

func (k *lookup) cost() int { return 4 }

func (k *lookup) close() {
	k.postings.close()
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

// open opens the lists over a span. Those that are open when an error comes stay so
// until close.
func (p *postings) open(db *pebble.DB, s span, prefixes []string) error {
	p.reverse = s.reverse
	for _, prefix := range prefixes {
		if err := p.openList(db, s, []byte(prefix)); err != nil {
			return err
		}
	}
	heap.Init(p)
	return nil
}

func (p *postings) openList(db *pebble.DB, s span, prefix []byte) error {
	iter, err := db.NewIter(&pebble.IterOptions{
		LowerBound: appendSequence(slices.Clip(prefix), s.after+1),
		UpperBound: appendSequence(slices.Clip(prefix), s.upTo+1),
	})
	if err != nil {
		return err
	}
	move := iter.First
	if p.reverse {
		move = iter.Last
	}
	if !move() {
		return iter.Close()
	}
	p.lists = append(p.lists, posting{seq: sequenceOf(iter.Key()), iter: iter})
	return nil
}

// step moves the list at the top of the heap on.
func (p *postings) step() error {
	top := &p.lists[0]
	move := top.iter.Next
	if p.reverse {
		move = top.iter.Prev
	}
	if move() {
		top.seq = sequenceOf(top.iter.Key())
		heap.Fix(p, 0)
		return nil
	}
	return heap.Pop(p).(posting).iter.Close()
}

func (p *postings) close() {
	for _, list := range p.lists {
		_ = list.iter.Close() // errors were seen at each step
	}
}
