package app

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/retention"
)

const (
	// minRetentionBytes is well above what the store takes besides events: under a
	// bound smaller than that the log would shrink to its newest event.
	minRetentionBytes = 1 << 30
	// minRuleBytes is room for the largest callback, nearly.
	minRuleBytes = 1 << 20
	// maxRuleTypes bounds what each round of retention has to look at, and what an
	// error has to name.
	maxRuleTypes = 32

	// typePathPattern is the contract's rule for types.
	typePathPattern = `^[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})*$`
)

// RetentionRule bounds what is kept of some types, all of them together. At least
// one of its limits is set.
type RetentionRule struct {
	// Types are paths: each stands for itself and everything below it. None may be
	// in two rules. At most 32 in all rules.
	Types []string `koanf:"types"`
	// Age is how long an event is kept; zero is for ever, or for RetentionAge,
	// which it may not be longer than.
	Age time.Duration `koanf:"age"`
	// Bytes is what the events may take before the oldest go, as stored before
	// compression; zero is without bound. At least 1 MiB; of all rules together
	// less than RetentionBytes, or events that have no rule would go first.
	Bytes uint64 `koanf:"bytes"`
}

func (c Config) retentionPolicy() retention.Policy {
	policy := retention.Policy{MaxAge: c.RetentionAge, MaxBytes: c.RetentionBytes}
	for _, r := range c.RetentionTypes {
		policy.Types = append(policy.Types, retention.TypeRule{Paths: r.Types, MaxAge: r.Age, MaxBytes: r.Bytes})
	}
	return policy
}

func (c Config) validateRetention() error {
	var errs []error
	if c.RetentionAge < 0 {
		errs = append(errs, fmt.Errorf("retention_age: %v; want zero (keep for ever) or more", c.RetentionAge))
	}
	if c.RetentionBytes > 0 && c.RetentionBytes < minRetentionBytes {
		errs = append(errs, fmt.Errorf("retention_bytes: %d; want zero (no bound) or at least %d: the store itself takes several hundred megabytes", c.RetentionBytes, uint64(minRetentionBytes)))
	}
	for i, r := range c.RetentionTypes {
		for _, err := range append(r.typeProblems(), r.limitProblems(c.RetentionAge)...) {
			errs = append(errs, fmt.Errorf("%s: %w", ruleName(i), err))
		}
	}
	return errors.Join(append(errs, c.typesInOneRule(), c.rulesWithinBytes())...)
}

func ruleName(i int) string { return fmt.Sprintf("retention_types[%d]", i) }

func (r RetentionRule) typeProblems() []error {
	if len(r.Types) == 0 {
		return []error{errors.New("types: empty; name at least one")}
	}
	path := regexp.MustCompile(typePathPattern)
	var problems []error
	for _, t := range r.Types {
		if len(t) > eventlog.MaxTextBytes || !path.MatchString(t) {
			problems = append(problems, fmt.Errorf(`types: %.80q is not a type path such as "messages" or "account_update.account_deleted"`, t))
		}
	}
	return problems
}

func (r RetentionRule) limitProblems(overall time.Duration) []error {
	var problems []error
	switch {
	case r.Age < 0:
		problems = append(problems, fmt.Errorf("age: %v; want more than zero, or leave it out", r.Age))
	case r.Age == 0 && r.Bytes == 0:
		problems = append(problems, errors.New("neither age nor bytes is set: the rule would keep everything; set one or both"))
	case overall > 0 && r.Age > overall:
		problems = append(problems, fmt.Errorf("age: %v is longer than retention_age, %v, which removes the events first; make it shorter, or retention_age longer", r.Age, overall))
	}
	if r.Bytes > 0 && r.Bytes < minRuleBytes {
		problems = append(problems, fmt.Errorf("bytes: %d; want at least %d, or leave it out", r.Bytes, uint64(minRuleBytes)))
	}
	return problems
}

// typesInOneRule refuses types that two paths select: which limits hold for them
// would be anybody's guess.
func (c Config) typesInOneRule() error {
	var errs []error
	type place struct {
		path string
		rule int
	}
	var before []place
	for i, r := range c.RetentionTypes {
		for _, t := range r.Types {
			for _, b := range before {
				if clash := clashOf(b.path, t); clash != "" {
					errs = append(errs, fmt.Errorf("%s: types: %q %s %q of %s; a type belongs to one rule, once", ruleName(i), t, clash, b.path, ruleName(b.rule)))
				}
			}
			before = append(before, place{t, i})
		}
	}
	if len(before) > maxRuleTypes {
		errs = append(errs, fmt.Errorf("retention_types: %d types in all rules, at most %d are allowed", len(before), maxRuleTypes))
	}
	return errors.Join(errs...)
}

// clashOf says how path stands to another that selects some of the same types;
// empty if none does.
func clashOf(other, path string) string {
	switch {
	case path == other:
		return "is the same as"
	case strings.HasPrefix(path, other+"."):
		return "is below"
	case strings.HasPrefix(other, path+"."):
		return "is above"
	default:
		return ""
	}
}

func (c Config) rulesWithinBytes() error {
	if c.RetentionBytes == 0 {
		return nil
	}
	left := c.RetentionBytes
	for _, r := range c.RetentionTypes {
		if r.Bytes >= left {
			return fmt.Errorf("retention_types: the bytes of all rules together reach retention_bytes, %d, so that events without a rule would go before those with one; make them smaller, or retention_bytes larger", c.RetentionBytes)
		}
		left -= r.Bytes
	}
	return nil
}
