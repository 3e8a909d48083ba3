package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Algorithm is a digest that a callback may be signed with.
type Algorithm string

// The digests that NXCloud signs with.
const (
	SHA256 Algorithm = "sha256"
	MD5    Algorithm = "md5"
)

const (
	defaultBodyBytes      = 1 << 20
	maxBodyBytes          = 1_900_000
	defaultHorizon        = 7 * 24 * time.Hour
	defaultUntimedHorizon = 2 * time.Hour
	defaultAppendTimeout  = 30 * time.Second
	maxSourceNameBytes    = 64
	sourceNamePattern     = `^[a-z0-9_-]+$`
	typePathPattern       = `^[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})*$`
)

// AccessKey is one provider application's credential.
type AccessKey struct {
	// Key is what the accesskey header carries: letters, digits, "_" and "-".
	Key string
	// Secret signs; never blank.
	Secret string
	// Algorithms are those accepted; none means SHA256 only. The algorithm
	// header is not part of what is signed, so whoever forges a callback picks
	// it: name MD5 only for an application that still signs with it.
	Algorithms []Algorithm
}

// Source is one provider application that posts to /webhooks/{Name}.
type Source struct {
	// Name is 1 to 64 characters of a-z, 0-9, "_" and "-"; unique.
	Name string
	// AccessKeys verify this source's callbacks, and no other source's. With
	// none, signature headers are not looked at and AllowUnsigned must be set.
	AccessKeys []AccessKey
	// AllowUnsigned accepts callbacks without any signature header. With
	// AccessKeys set, a callback that has one of these headers must verify.
	AllowUnsigned bool
	// TimestampTolerance is how far a signed callback's ts may be from the
	// clock; zero does not look at it. The provider delivers again with the old
	// ts, so a tolerance shorter than its retries refuses them.
	TimestampTolerance time.Duration
	// MaxBodyBytes bounds the body; zero is 1 MiB, at most 1,900,000, so that
	// its event fits the message size every gRPC client accepts.
	MaxBodyBytes int64
	// Rate is how many authentic callbacks a second the source may post, and Burst
	// how many at once after a pause; more get 429. Zero is without bound, and for
	// Burst ten seconds of Rate. Callbacks that a signature would be asked for and
	// does not verify do not count.
	Rate, Burst int
	// Discard lists type paths whose events, and those of every type below,
	// are counted and not stored.
	Discard []string
	// Numbers maps a business phone number to the account it belongs to, for
	// callbacks that name no account. "+", spaces, dashes and brackets of a
	// number are ignored.
	Numbers map[string]string
	// DuplicateHorizon is how long the same content is the same event when it
	// carries a provider time; zero is 7 days.
	DuplicateHorizon time.Duration
	// UntimedDuplicateHorizon is the same for content without a provider time;
	// zero is 2 hours.
	UntimedDuplicateHorizon time.Duration
}

// Appender is the part of the log that this package needs: see
// [eventlog.Log.Append] for what it must guarantee.
type Appender interface {
	Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error)
}

// Attributor knows which account a phone number belongs to. It is asked only
// for events that name no account and whose number is not in Source.Numbers.
// It is called concurrently and on the provider's time: it must not wait for
// anything but the disk.
type Attributor interface {
	// WABA returns the account of a source's number, by its normalised digits or
	// else by Meta's id of it, or "" when it is not known. One of the two may be
	// empty.
	WABA(source, businessPhone, phoneNumberID string) string
}

// Config is what a Handler is made of.
type Config struct {
	// Sources are the applications served; at least one.
	Sources []Source
	// Log takes the events; required.
	Log Appender
	// Attributor is optional.
	Attributor Attributor
	// Quarantine takes signed callbacks that cannot be made into events; nil
	// keeps none.
	Quarantine Quarantine
	// Authentic is called with the request's context for each callback whose
	// signature verified, or that needs none; nil does nothing. It must not block.
	Authentic func(context.Context)
	// AppendTimeout bounds one append; zero is 30 s. The client hanging up does
	// not shorten it.
	AppendTimeout time.Duration
	// Logger is optional; nil logs nothing.
	Logger *slog.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.AppendTimeout == 0 {
		c.AppendTimeout = defaultAppendTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Authentic == nil {
		c.Authentic = func(context.Context) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// validate reports every problem at once: whoever edits a configuration wants
// the whole list.
func (c Config) validate() error {
	var problems []error
	if c.Log == nil {
		problems = append(problems, errors.New("log: required"))
	}
	if c.AppendTimeout < 0 {
		problems = append(problems, errors.New("append_timeout: must not be negative"))
	}
	return errors.Join(append(problems, CheckSources(c.Sources))...)
}

// CheckSources reports every problem of the sources at once; nil if there is none.
func CheckSources(sources []Source) error {
	var problems []error
	if len(sources) == 0 {
		problems = append(problems, errors.New("sources: at least one is required"))
	}
	seen := make(map[string]bool)
	for _, s := range sources {
		found := s.problems()
		if seen[s.Name] {
			found = append(found, errors.New("name: used by two sources; give each its own"))
		}
		seen[s.Name] = true
		for _, p := range found {
			problems = append(problems, fmt.Errorf("source %q: %w", s.Name, p))
		}
	}
	return errors.Join(problems...)
}

func (s Source) problems() []error {
	return slices.Concat(s.nameProblems(), s.keyProblems(), s.boundProblems(), s.discardProblems(), s.numberProblems())
}

func (s Source) nameProblems() []error {
	if len(s.Name) <= maxSourceNameBytes && regexp.MustCompile(sourceNamePattern).MatchString(s.Name) {
		return nil
	}
	return []error{errors.New(`name: must be 1 to 64 characters of a-z, 0-9, "_" and "-"`)}
}

// keyProblems names keys by their place: a key and its secret are easily
// swapped, and an error text must not show a secret.
func (s Source) keyProblems() []error {
	var problems []error
	if len(s.AccessKeys) == 0 && !s.AllowUnsigned {
		problems = append(problems, errors.New("access_keys: none, and allow_unsigned is off: every callback would be refused; set one of them"))
	}
	seen := make(map[string]bool)
	for i, k := range s.AccessKeys {
		if err := k.check(); err != nil {
			problems = append(problems, fmt.Errorf("access_keys[%d].%w", i, err))
		}
		if seen[k.Key] {
			problems = append(problems, fmt.Errorf("access_keys[%d].key: listed twice; keep one", i))
		}
		seen[k.Key] = true
	}
	return problems
}

func (k AccessKey) check() error {
	if !isToken(k.Key) {
		return errors.New(`key: must be one or more of A-Z, a-z, 0-9, "_" and "-"`)
	}
	if strings.TrimSpace(k.Secret) == "" {
		return errors.New("secret: must not be blank")
	}
	for _, a := range k.Algorithms {
		if a != SHA256 && a != MD5 {
			return fmt.Errorf("algorithms: %q is not one of %q and %q", a, SHA256, MD5)
		}
	}
	return nil
}

func (s Source) boundProblems() []error {
	var problems []error
	if s.MaxBodyBytes < 0 || s.MaxBodyBytes > maxBodyBytes {
		problems = append(problems, fmt.Errorf("max_body_bytes: must be 1 to %d, or 0 for %d", maxBodyBytes, defaultBodyBytes))
	}
	if s.Rate < 0 || s.Burst < 0 {
		problems = append(problems, errors.New("source_rate, source_burst: must not be negative; 0 is without bound, and for source_burst ten seconds of source_rate"))
	}
	if s.Rate == 0 && s.Burst > 0 {
		problems = append(problems, errors.New("source_burst: has no effect without source_rate; remove it or set both"))
	}
	if s.TimestampTolerance != 0 && len(s.AccessKeys) == 0 {
		problems = append(problems, errors.New("timestamp_tolerance: has no effect without access_keys; remove it or add a key"))
	}
	for _, d := range []struct {
		setting string
		value   time.Duration
	}{
		{"timestamp_tolerance", s.TimestampTolerance},
		{"duplicate_horizon", s.DuplicateHorizon},
		{"untimed_duplicate_horizon", s.UntimedDuplicateHorizon},
	} {
		if d.value < 0 {
			problems = append(problems, fmt.Errorf("%s: must not be negative", d.setting))
		}
	}
	return problems
}

func (s Source) discardProblems() []error {
	path := regexp.MustCompile(typePathPattern)
	var problems []error
	for _, p := range s.Discard {
		if len(p) > eventlog.MaxTextBytes || !path.MatchString(p) {
			problems = append(problems, fmt.Errorf(`discard: %.80q is not a type path such as "messages" or "account_update.account_deleted"`, p))
		}
	}
	return problems
}

func (s Source) numberProblems() []error {
	var problems []error
	seen := make(map[string]bool)
	for _, number := range slices.Sorted(maps.Keys(s.Numbers)) {
		waba, phone := s.Numbers[number], eventlog.NormalizePhone(number)
		switch {
		case !isHeaderText(phone):
			problems = append(problems, fmt.Errorf("numbers: %.80q is not a phone number of at most %d bytes", number, eventlog.MaxTextBytes))
		case !isHeaderText(waba) || strings.TrimSpace(waba) != waba:
			problems = append(problems, fmt.Errorf("numbers: %.80q: the WABA must be 1 to %d bytes without white space around it", number, eventlog.MaxTextBytes))
		case seen[phone]:
			problems = append(problems, fmt.Errorf("numbers: %.80q is listed twice, spelled differently; keep one", number))
		}
		seen[phone] = true
	}
	return problems
}

// isHeaderText reports whether the log takes s as a header's text.
func isHeaderText(s string) bool {
	return s != "" && len(s) <= eventlog.MaxTextBytes && utf8.ValidString(s)
}
