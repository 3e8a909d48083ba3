package pebblelog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// checkFilters looks for one key in each table. Everything else is read in order,
// which passes by the filters of the tables: with a damaged one, look-ups fail in
// all of its table. Those of the last level nothing reads, nor does this.
func (v *verifier) checkFilters() error {
	levels, err := v.log.db.SSTables()
	if err != nil {
		return err
	}
	for _, tables := range levels {
		for i := range tables {
			if err := errors.Join(v.checkFilter(&tables[i]), v.ctx.Err()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) checkFilter(table *pebble.SSTableInfo) error {
	key := slices.Clone(table.Smallest.UserKey)
	if !bytes.Equal(key, table.Largest.UserKey) {
		key = append(key, 0) // hardly anywhere, so that no table above has it and ends the search
	}
	_, closer, err := v.log.db.Get(key)
	switch {
	case err == nil:
		return closer.Close()
	case errors.Is(err, pebble.ErrNotFound):
		return nil
	case pebble.IsCorruptionError(err):
		v.found(Problem{Kind: ProblemTable, Detail: fmt.Sprintf("keys cannot be looked up in table %s: %s", table.FileNum, firstLine(err))})
		return nil
	default:
		return err
	}
}

// firstLine is what an error of the store says, without the details that it has for
// the store's developers.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
