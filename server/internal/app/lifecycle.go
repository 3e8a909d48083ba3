package app

import (
	"context"
	"errors"
	"fmt"
)

// teardown is a stack of named steps that undo what was set up, last first. The
// step for a resource is pushed the moment the resource exists, so the same
// stack rolls back a start that failed half-way and shuts down one that ran.
type teardown struct {
	steps []step
}

type step struct {
	name string
	run  func(ctx context.Context) error
}

func (t *teardown) push(name string, run func(ctx context.Context) error) {
	t.steps = append(t.steps, step{name, run})
}

// run takes every step, also after one failed or the deadline passed, and joins
// their errors. Steps it has run are gone: running it again does nothing.
func (t *teardown) run(ctx context.Context) error {
	var errs []error
	for len(t.steps) > 0 {
		last := t.steps[len(t.steps)-1]
		t.steps = t.steps[:len(t.steps)-1]
		if err := last.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}
