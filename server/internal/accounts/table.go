package accounts

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// table is the messages of one kind that a stretch of records touches, by key.
type table[M any, P interface {
	*M
	proto.Message
}] struct {
	get  func(key []byte) ([]byte, error)
	rows map[string]*row[P]
}

type row[P any] struct {
	message P
	// dirty rows are to be stored; changed ones have another value than before.
	dirty, changed bool
}

// row returns a message; found says that it is not new. What is new is stored once it is
// dirty.
func (t *table[M, P]) row(key []byte) (r *row[P], found bool, err error) {
	if r, ok := t.rows[string(key)]; ok {
		return r, true, nil
	}
	value, err := t.get(key)
	if err != nil {
		return nil, false, err
	}
	r = &row[P]{message: new(M)}
	if value != nil {
		if err := proto.Unmarshal(value, r.message); err != nil {
			return nil, false, fmt.Errorf("decode state: %w", err)
		}
	}
	if t.rows == nil {
		t.rows = make(map[string]*row[P])
	}
	t.rows[string(key)] = r
	return r, value != nil, nil
}

// encode hands every row that is to be stored to add.
func (t *table[M, P]) encode(add func(key, value []byte, err error)) {
	for key, r := range t.rows {
		if r.dirty {
			value, err := marshal(r.message)
			add([]byte(key), value, err)
		}
	}
}
