package pebblelog

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// picked is the records that memory names.
type picked struct {
	log     *Log
	records *pebble.Iterator
	reverse bool
	picks   []eventlog.Sequence
}

func (p *picked) next(n names) (stored, error) {
	for len(p.picks) > 0 {
		seq := p.picks[0]
		p.picks = p.picks[1:]
		found, err := p.log.fetch(p.records, seq, p.reverse, n)
		if _, removed := errors.AsType[*removedError](err); !removed {
			return found, err
		}
	}
	return stored{}, errEnd
}

func (p *picked) cost() int { return 4 }

func (p *picked) close() {
	if p.records != nil {
		_ = p.records.Close() // errors were seen at each step
		p.records = nil
	}
}
