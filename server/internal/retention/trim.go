package retention

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// reason is why records are trimmed, as the metric says it.
type reason string

const (
	forAge      reason = "age"
	forSize     reason = "size"
	forTypeAge  reason = "type_age"
	forTypeSize reason = "type_size"
)

const (
	// ageShare is the part of the log that one round may remove for its age.
	ageShare = 10
	// sizeShare is the part that one round may remove for its size. The disk
	// matters more than old records, but no wrong figure may empty the log.
	sizeShare = 2
	// trimStep is how many sequences one call removes. Backends forget expired
	// ids a bounded number a call, so that a few large calls would let the ids
	// of a busy log pile up.
	trimStep = 4096
)

// round applies every limit once. One that errs does not keep the others from
// being applied. Rules for types come first: what they remove need not be made
// room for at the expense of other types.
func (k *Keeper) round(ctx context.Context) error {
	var errs []error
	for _, rule := range k.rules {
		errs = append(errs, k.keepTypes(ctx, rule))
	}
	if k.policy.MaxAge > 0 {
		errs = append(errs, k.trimOld(ctx))
	}
	if k.policy.MaxBytes > 0 {
		errs = append(errs, k.trimOversize(ctx))
	}
	return errors.Join(errs...)
}

// trimOld removes what is past its age.
func (k *Keeper) trimOld(ctx context.Context) error {
	bounds, err := k.log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("find the ends of the log: %w", err)
	}
	held := span(bounds)
	if held < 2 {
		return nil
	}
	oldest := k.now().Add(-k.policy.MaxAge)
	keep, err := k.log.Seek(ctx, oldest)
	if err != nil {
		return fmt.Errorf("find records past their age: %w", err)
	}
	if keep.Sequence <= bounds.Start.Sequence {
		return nil
	}
	expired := min(keep.Sequence-bounds.Start.Sequence, held-1)
	// Rounded up: a log of a few records is trimmed too.
	allowed := (held + ageShare - 1) / ageShare
	if expired > allowed {
		k.logger.WarnContext(ctx, "much of the log is past its age: the server stood still, or its clock jumped; trimming a tenth",
			"past_age", expired, "trimming", allowed, "held", held)
	}
	return k.trim(ctx, forAge, bounds, min(expired, allowed))
}

// trimOversize removes the share of the log by which it is over its bound.
func (k *Keeper) trimOversize(ctx context.Context) error {
	stats, err := k.log.Stats(ctx)
	if err != nil {
		return fmt.Errorf("measure the log: %w", err)
	}
	// What comes back by itself is not trimmed for: the disk shows a trim late,
	// and each round until then would remove the same amount again.
	kept := stats.Bytes - min(stats.Reclaimable, stats.Bytes)
	if kept <= k.policy.MaxBytes {
		return nil
	}
	bounds, err := k.log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("find the ends of the log: %w", err)
	}
	held := span(bounds)
	// Some of what is kept is no record's, so that this is rather too few; the
	// next round sees to the rest.
	share := float64(kept-k.policy.MaxBytes) / float64(kept)
	excess := eventlog.Sequence(math.Ceil(float64(held) * share))
	allowed := held / sizeShare // none of a single record
	if excess > allowed {
		k.logger.WarnContext(ctx, "log is far over its size: is max_bytes too small for the store itself? trimming at most half",
			"bytes", stats.Bytes, "max_bytes", k.policy.MaxBytes, "trimming", allowed, "held", held)
	}
	return k.trim(ctx, forSize, bounds, min(excess, allowed))
}

// trim removes the oldest n sequences.
func (k *Keeper) trim(ctx context.Context, why reason, bounds eventlog.Bounds, n eventlog.Sequence) error {
	missing, err := k.missing(ctx, bounds)
	if err != nil {
		return err
	}
	for done := eventlog.Sequence(0); done < n; {
		step := min(n-done, trimStep)
		if err := k.log.Trim(ctx, bounds.Start.Sequence+done+step); err != nil {
			return fmt.Errorf("trim for %s: %w", why, err)
		}
		done += step
		left := missing
		if missing > 0 {
			if left, err = k.missingNow(ctx); err != nil {
				return err
			}
		}
		passed := min(missing-min(left, missing), uint64(step)) // had no record any more
		k.trimmed.WithLabelValues(string(why)).Add(float64(uint64(step) - passed))
		missing = left
	}
	return nil
}

// missing is how many sequences between the ends of the log have no record,
// because a rule has removed it. Appends that come between the two looks at the
// log make it a little wrong; only what the metric tells depends on it.
func (k *Keeper) missing(ctx context.Context, bounds eventlog.Bounds) (uint64, error) {
	if len(bounds.TypeTrims) == 0 {
		return 0, nil
	}
	return k.missingNow(ctx)
}

func (k *Keeper) missingNow(ctx context.Context) (uint64, error) {
	bounds, err := k.log.Bounds(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the ends of the log: %w", err)
	}
	stats, err := k.log.Stats(ctx)
	if err != nil {
		return 0, fmt.Errorf("measure the log: %w", err)
	}
	held := uint64(span(bounds))
	return held - min(stats.Records, held), nil
}

// span is how many sequences lie between the ends of the log.
func span(b eventlog.Bounds) eventlog.Sequence {
	return b.Head.Sequence - b.Start.Sequence
}
