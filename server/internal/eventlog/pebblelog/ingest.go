package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Tables of the index are made in these files; the store takes them over under
// names of its own. There are two, one with the keys before those of records and
// one with the keys behind them: a table that spans the records would have them
// written again with it.
const (
	tableBefore = "index-before"
	tableBehind = "index-behind"
)

// ingest hands a generation to the store.
func (l *Log) ingest(g *generation) error {
	if err := l.failure.asFailed(); err != nil {
		return err
	}
	before, behind := l.fs.PathJoin(l.dir, tableBefore), l.fs.PathJoin(l.dir, tableBehind)
	if err := l.writeTables(g, before, behind); err != nil {
		return err
	}
	err := l.db.Ingest(context.Background(), []string{before, behind})
	return errors.Join(err, l.failure.asFailed())
}

func (l *Log) writeTables(g *generation, before, behind string) error {
	first, err := l.newTable(before)
	if err != nil {
		return err
	}
	second, err := l.newTable(behind)
	if err != nil {
		return errors.Join(err, first.Close())
	}
	records := []byte{recordKind}
	err = g.pairs(func(key, value []byte) error {
		if bytes.Compare(key, records) < 0 {
			return first.Set(key, value)
		}
		return second.Set(key, value)
	})
	return errors.Join(err, first.Close(), second.Close()) // these sync the files
}

// newTable begins a table. A file that a crash has left there goes first: it may be
// a second name of one that the store has taken over, and must not be written into.
func (l *Log) newTable(path string) (*sstable.Writer, error) {
	if err := l.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old table: %w", err)
	}
	file, err := l.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	return sstable.NewWriter(objstorageprovider.NewFileWritable(file), l.tableOptions), nil
}
