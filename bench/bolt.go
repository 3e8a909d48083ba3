package main

import (
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"go.etcd.io/bbolt"
)

// boltLog stores records by sequence, one transaction for all who wait: bbolt's
// own Batch waits up to 10 ms for more. With features it also does what the
// product does for each record: it looks the id up and stores it, and keeps an
// index by account, type and phone.
type boltLog struct {
	db       *bbolt.DB
	features bool
	groups   *groups[boltRecord]
}

type boltRecord struct {
	*eventlog.Record
	encoded []byte
}

// Names of buckets.
const (
	boltRecords = "records"
	boltIDs     = "ids"
	boltIndex   = "index"
)

func openBolt(dir string, features bool) (*boltLog, error) {
	db, err := bbolt.Open(filepath.Join(dir, "records.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	l := &boltLog{db: db, features: features}
	if err := db.Update(createBuckets); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l.groups = newGroups(4096, l.commit)
	return l, nil
}

func createBuckets(tx *bbolt.Tx) error {
	for _, name := range []string{boltRecords, boltIDs, boltIndex} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

// Append implements engine.
func (l *boltLog) Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	items := make([]boltRecord, len(records))
	for i, encoded := range encodeAll(records) {
		items[i] = boltRecord{&records[i], encoded}
	}
	return stored(records, l.groups.add(ctx, items...))
}

func (l *boltLog) commit(items []boltRecord) error {
	return l.db.Update(func(tx *bbolt.Tx) error {
		for _, item := range items {
			if err := l.put(tx, item); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *boltLog) put(tx *bbolt.Tx, item boltRecord) error {
	ids := tx.Bucket([]byte(boltIDs))
	if l.features && ids.Get(item.ID[:]) != nil {
		return nil
	}
	records := tx.Bucket([]byte(boltRecords))
	records.FillPercent = 1 // keys only grow
	n, err := records.NextSequence()
	if err != nil {
		return err
	}
	seq := binary.BigEndian.AppendUint64(nil, n)
	if err := records.Put(seq, item.encoded); err != nil || !l.features {
		return err
	}
	if err := ids.Put(item.ID[:], seq); err != nil {
		return err
	}
	index := tx.Bucket([]byte(boltIndex))
	for _, key := range []string{"w" + item.WABAID, "t" + item.Type, "p" + item.BusinessPhone} {
		if err := index.Put(append([]byte(key), seq...), nil); err != nil {
			return err
		}
	}
	return nil
}

// Close implements engine.
func (l *boltLog) Close() error {
	l.groups.close()
	return l.db.Close()
}
