package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// typeTrimUnderReaders has readers go over the log again and again while it is
// written and the messages in it are trimmed. Whoever reads strictly sees a run
// without a hole that ends at the head or in ErrTrimmed, which readers of other types
// never get; whoever reads what is held, and whoever reads backwards, sees everything
// of those types.
func typeTrimUnderReaders(b *bench) {
	n := recordsUnderReaders(2000)
	g, ctx := errgroup.WithContext(b.Context())
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		return b.writeAndTrimTypes(ctx, n)
	})
	for _, read := range []func(context.Context) error{
		b.readStrictly, b.readMessages, b.readBans, b.readHeld, b.readBackwards, b.measureMessages,
	} {
		g.Go(func() error {
			for {
				if err := read(ctx); err != nil {
					return err
				}
				select {
				case <-done:
					return read(ctx)
				default:
				}
			}
		})
	}
	require.NoError(b, g.Wait())
}

func (b *bench) writeAndTrimTypes(ctx context.Context, n int) error {
	for from := 0; from < n; from += 8 {
		answers, err := b.log.Append(ctx, mixed(from, from+8))
		if err != nil {
			return err
		}
		if from%40 != 0 {
			continue
		}
		path := []string{"messages", "messages.text", "statuses"}[from/40%3]
		if err := b.log.TrimType(ctx, path, answers[0].Position.Sequence); err != nil {
			return err
		}
	}
	return nil
}

// numbers reads a query to its end and returns what the payloads are numbered.
func (b *bench) numbers(ctx context.Context, q eventlog.Query) ([]int, error) {
	q.Limit = 50
	entries, err := collect(ctx, b.log, q)
	all := make([]int, len(entries))
	for i, e := range entries {
		if _, err := fmt.Sscanf(string(e.Payload), "payload %d", &all[i]); err != nil {
			return nil, err
		}
	}
	return all, err
}

// evenly wants numbers that are the same step apart.
func evenly(numbers []int, step int) error {
	for i := 1; i < len(numbers); i++ {
		if numbers[i] != numbers[i-1]+step {
			return fmt.Errorf("record %d is followed by %d", numbers[i-1], numbers[i])
		}
	}
	return nil
}

func (b *bench) readStrictly(ctx context.Context) error {
	return b.readFromStart(ctx, nil, 1)
}

func (b *bench) readMessages(ctx context.Context) error {
	return b.readFromStart(ctx, ofTypes("messages.image"), 4)
}

// readFromStart reads from where a filter finds the log complete.
func (b *bench) readFromStart(ctx context.Context, filter *eventlog.Matcher, step int) error {
	bounds, err := b.log.Bounds(ctx)
	if err != nil {
		return err
	}
	found, err := b.numbers(ctx, eventlog.Query{After: bounds.StartFor(filter).Sequence, Filter: filter})
	if err != nil && !errors.Is(err, eventlog.ErrTrimmed) {
		return err
	}
	return evenly(found, step)
}

func (b *bench) readBans(ctx context.Context) error {
	return b.everyBan(ctx, eventlog.Query{Filter: ofTypes("bans")})
}

func (b *bench) readHeld(ctx context.Context) error {
	return b.everyBan(ctx, eventlog.Query{Held: true})
}

func (b *bench) readBackwards(ctx context.Context) error {
	return b.everyBan(ctx, eventlog.Query{Reverse: true})
}

// everyBan wants every ban from the first one on.
func (b *bench) everyBan(ctx context.Context, q eventlog.Query) error {
	found, err := b.numbers(ctx, q)
	if err != nil {
		return err
	}
	if q.Reverse {
		slices.Reverse(found)
	}
	if !slices.IsSorted(found) {
		return errors.New("records are out of order")
	}
	found = slices.DeleteFunc(found, func(n int) bool { return n%4 != 3 })
	if len(found) > 0 && found[0] != 3 {
		return fmt.Errorf("the first ban is %d", found[0])
	}
	return evenly(found, 4)
}

func (b *bench) measureMessages(ctx context.Context) error {
	_, err := b.log.MeasureType(ctx, "messages", 0, 0)
	return err
}
