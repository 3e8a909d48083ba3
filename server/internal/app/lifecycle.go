package app

import (
	"context"
	"errors"
	"fmt"
	"time"
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

// backgroundGrace is what has to do for something in the background to end.
const backgroundGrace = time.Second

// inBackground runs something until the teardown comes to the step that it pushes. A
// file system that hangs may hold that up for a second, whatever the steps before took.
func (a *App) inBackground(step string, run func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	a.teardown.push(step, func(context.Context) error {
		cancel()
		patience := time.NewTimer(backgroundGrace)
		defer patience.Stop()
		select {
		case <-done:
			return nil
		case <-patience.C:
			return fmt.Errorf("it did not end within %v", backgroundGrace)
		}
	})
}
