package retention

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// sumStep is how many bytes of records one call sums up, so that a context
	// that ends is noticed.
	sumStep = 256 << 20
	// typeStep is how many bytes of records one call removes, and minTypeStep how
	// many it need not be less than.
	typeStep    = 4 << 20
	minTypeStep = 64 << 10
	// turns is into how many calls at least a removal for size is divided that is
	// not small, so that the paths of a rule lose what is of like age.
	turns = 16
)

// typeRule is a rule and what is known of its paths.
type typeRule struct {
	TypeRule
	paths []*pathSum
}

func newTypeRule(rule TypeRule) *typeRule {
	r := &typeRule{TypeRule: rule}
	for _, path := range rule.Paths {
		r.paths = append(r.paths, &pathSum{path: path})
	}
	return r
}

// pathSum is what the records of a path take between two places, as far as they
// have been summed up: summing up a log is work, so that each round goes on where
// the one before stopped.
type pathSum struct {
	path        string
	after, upTo eventlog.Sequence
	bytes       uint64
}

// begin makes the sum begin where the log's records of the path do. If others
// have trimmed since, it is not known by how much: it is summed up again.
func (s *pathSum) begin(bounds eventlog.Bounds) {
	start := bounds.Start.Sequence
	for _, t := range bounds.TypeTrims {
		if t.Path == s.path {
			start = max(start, t.UpTo.Sequence)
		}
	}
	if start > s.after {
		s.after, s.upTo, s.bytes = start, start, 0
	}
}

// removed takes off what was removed from the beginning.
func (s *pathSum) removed(m eventlog.Measure) {
	s.after = m.UpTo
	s.bytes -= min(s.bytes, m.Bytes)
	if s.upTo <= s.after {
		s.upTo, s.bytes = s.after, 0
	}
}

// keepTypes applies both limits of a rule once.
func (k *Keeper) keepTypes(ctx context.Context, rule *typeRule) error {
	bounds, err := k.log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("find the ends of the log: %w", err)
	}
	if span(bounds) < 2 {
		return nil
	}
	for _, s := range rule.paths {
		s.begin(bounds)
	}
	last := bounds.Head.Sequence - 1 // the newest record stays
	var age, size error
	if rule.MaxAge > 0 {
		age = k.trimOldTypes(ctx, rule, last)
	}
	if rule.MaxBytes > 0 {
		size = k.trimLargeTypes(ctx, rule, last)
	}
	return errors.Join(age, size)
}

// trimOldTypes removes what is past the rule's age.
func (k *Keeper) trimOldTypes(ctx context.Context, rule *typeRule, last eventlog.Sequence) error {
	keep, err := k.log.Seek(ctx, k.now().Add(-rule.MaxAge))
	if err != nil {
		return fmt.Errorf("find records past their age: %w", err)
	}
	for _, s := range rule.paths {
		if err := k.trimOldType(ctx, s, min(keep.Sequence, last), last); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) trimOldType(ctx context.Context, s *pathSum, keep, last eventlog.Sequence) error {
	oldest, err := k.measure(ctx, s.path, s.after, keep, 1)
	if err != nil || oldest.Records == 0 {
		return err
	}
	// Measured from the oldest record, not from where the last one was removed: of
	// a rare type, that may be far back.
	after := oldest.UpTo - 1
	expired, held := keep-after, last+1-after
	allowed := (held + ageShare - 1) / ageShare
	if expired > allowed {
		k.logger.WarnContext(ctx, "much of a type is past its age: the server stood still, its clock jumped, or the rule is new; trimming a tenth",
			"type", s.path, "past_age", expired, "trimming", allowed, "held", held)
	}
	upTo := after + min(expired, allowed)
	for {
		m, err := k.measure(ctx, s.path, s.after, upTo, typeStep)
		if err != nil || m.Records == 0 {
			return err
		}
		if err := k.trimType(ctx, forTypeAge, s, m); err != nil {
			return err
		}
	}
}

// trimLargeTypes removes the oldest records until the rest is within the rule's
// bound.
func (k *Keeper) trimLargeTypes(ctx context.Context, rule *typeRule, last eventlog.Sequence) error {
	var total uint64
	for _, s := range rule.paths {
		if err := k.sumUp(ctx, s); err != nil {
			return err
		}
		total += s.bytes
	}
	for total > rule.MaxBytes {
		s, m, err := k.oldestOf(ctx, rule.paths, last, total-rule.MaxBytes)
		if err != nil || m.Records == 0 {
			return err
		}
		if err := k.trimType(ctx, forTypeSize, s, m); err != nil {
			return err
		}
		total -= min(m.Bytes, total)
	}
	return nil
}

// sumUp goes on to the head of the log.
func (k *Keeper) sumUp(ctx context.Context, s *pathSum) error {
	for {
		m, err := k.log.MeasureType(ctx, s.path, s.upTo, sumStep)
		if err != nil {
			return fmt.Errorf("measure type %s: %w", s.path, err)
		}
		s.upTo = max(s.upTo, m.UpTo)
		s.bytes += m.Bytes
		if m.Bytes < sumStep {
			return nil
		}
	}
}

// oldestOf finds what to remove next of an excess: of each path's oldest records
// that take as much as one call removes, those that end first.
func (k *Keeper) oldestOf(ctx context.Context, paths []*pathSum, last eventlog.Sequence, excess uint64) (*pathSum, eventlog.Measure, error) {
	limit := min(max(excess/turns, minTypeStep), typeStep, excess)
	var oldest *pathSum
	first := eventlog.Measure{UpTo: math.MaxUint64}
	for _, s := range paths {
		m, err := k.measure(ctx, s.path, s.after, last, limit)
		if err != nil {
			return nil, m, err
		}
		if m.Records > 0 && m.UpTo < first.UpTo {
			oldest, first = s, m
		}
	}
	return oldest, first, nil
}

// measure sums up the records of a path after one sequence and up to another,
// until they take at least limit bytes. UpTo is the last of them. The log cannot
// be asked for an end: where it goes beyond, it is asked for half as much.
func (k *Keeper) measure(ctx context.Context, path string, after, upTo eventlog.Sequence, limit uint64) (eventlog.Measure, error) {
	sum := eventlog.Measure{UpTo: after}
	for part := limit; part > 0 && sum.UpTo < upTo && sum.Bytes < limit; {
		m, err := k.log.MeasureType(ctx, path, sum.UpTo, part)
		if err != nil {
			return sum, fmt.Errorf("measure type %s: %w", path, err)
		}
		if m.Records == 0 {
			break
		}
		if m.UpTo > upTo {
			part /= 2
			continue
		}
		sum.UpTo = m.UpTo
		sum.Records += m.Records
		sum.Bytes += m.Bytes
		part = min(part, limit-min(sum.Bytes, limit))
	}
	return sum, nil
}

// trimType removes the path's oldest records, which were measured.
func (k *Keeper) trimType(ctx context.Context, why reason, s *pathSum, m eventlog.Measure) error {
	if err := k.log.TrimType(ctx, s.path, m.UpTo); err != nil {
		return fmt.Errorf("trim type %s for %s: %w", s.path, why, err)
	}
	k.trimmed.WithLabelValues(string(why)).Add(float64(m.Records))
	s.removed(m)
	return nil
}
