// Package guarantees holds what every stream is promised, as code: one validator
// for each of the guarantees that package stream names, over a [History] of what
// clients and producers recorded while the server was attacked.
//
// A validator is a pure function: it reads no clock and no log. It returns how
// much it has looked at, and an error that names the stream, the frame and the
// event of each break. A history in which nothing could show its guarantee is an
// error too, so that none holds because nothing happened.
//
// It matches filters and reads cursors by code of its own: what it shares with the
// server it could not find wrong there.
package guarantees

import (
	"errors"
	"fmt"
)

// Validator checks one guarantee. It does not change the history, so several may
// check one at the same time.
type Validator struct {
	// Name is the guarantee's name, such as "complete".
	Name string
	// Check returns how many events, frames or callbacks it has looked at, and what
	// breaks the guarantee: at most ten breaks, and how many more there are.
	Check func(*History) (checked int, err error)
}

// All returns every validator, in the order in which the guarantees are named.
func All() []Validator {
	return []Validator{
		{"ordered", Ordered},
		{"unique", Unique},
		{"complete", Complete},
		{"resumable", Resumable},
		{"progressing", Progressing},
		{"filtered", Filtered},
		{"durable", Durable},
		{"deliverable", Deliverable},
	}
}

// maxBreaks is how many breaks are told one by one: the first say what is wrong,
// thousands more would hide it.
const maxBreaks = 10

// findings is what a validator comes to.
type findings struct {
	name    string
	checked int
	breaks  []error
	more    int
}

func (f *findings) breakAt(where, format string, args ...any) {
	if len(f.breaks) == maxBreaks {
		f.more++
		return
	}
	f.breaks = append(f.breaks, fmt.Errorf("%s: %s: %s", f.name, where, fmt.Sprintf(format, args...)))
}

func (f *findings) result() (checked int, err error) {
	if f.checked == 0 && len(f.breaks) == 0 {
		return 0, fmt.Errorf("%s: the history holds nothing that could show it", f.name)
	}
	if f.more > 0 {
		f.breaks = append(f.breaks, fmt.Errorf("%s: %d more", f.name, f.more))
	}
	return f.checked, errors.Join(f.breaks...)
}
