// Package webhook is the HTTP front that the provider posts callbacks to.
//
// It guarantees:
//   - 200 means durable: the answer leaves only after the log's Append returned
//     without error, or for a duplicate of what the log holds, or for a type
//     the operator discards. Everything else is an error status, so that the
//     provider delivers again.
//   - What is stored was sent by somebody who holds an access key of the
//     source, unless the source allows unsigned callbacks.
//   - Every stored event marshals to protobuf and to JSON and fits the limits
//     of the log.
//   - No answer, log line or metric shows a secret, a digest or a callback's
//     content, and no stranger can make logs or metrics grow without bound.
//   - Strangers, who have no access key, keep out nobody who has: neither memory
//     nor a source's rate is theirs to use up, and nothing of theirs is stored.
//
// It bounds the memory of callbacks being received and in progress (503 beyond it)
// and how many an authentic source posts a second, but not how many connections there
// are, nor how long one takes to send its body: that is for the listener's limits and
// the HTTP server's timeouts.
package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/translate"
)

const pathPrefix = "/webhooks/"

const (
	// maxBytesInProgress bounds the bodies that are translated and appended at a
	// time, callbackOverhead being what one takes apart from its body.
	maxBytesInProgress = 32 << 20
	callbackOverhead   = 4 << 10
	// admissionTimeout is how long a callback waits for its turn.
	admissionTimeout = 5 * time.Second
)

// Handler serves POST /webhooks/{source}; mount it at /webhooks/. Every method
// is safe for concurrent use.
type Handler struct {
	sources       map[string]*source
	log           Appender
	attributor    Attributor
	appendTimeout time.Duration
	logger        *slog.Logger
	metrics       *metrics
	now           func() time.Time
	receiving     *intake
	inProgress    *semaphore.Weighted
	quarantine    Quarantine
	authentic     func(context.Context)
	// translate is package translate's Callback; tests put others in its place.
	translate func(source string, body []byte) ([]translate.Event, error)
}

var _ http.Handler = (*Handler)(nil)

// New makes a Handler. Its error lists every mistake in the configuration, by
// source and setting, or tells that the metrics cannot be registered.
func New(cfg Config) (*Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("webhook configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		sources:       make(map[string]*source, len(cfg.Sources)),
		log:           cfg.Log,
		attributor:    cfg.Attributor,
		appendTimeout: cfg.AppendTimeout,
		logger:        cfg.Logger,
		metrics:       m,
		now:           cfg.Now,
		receiving:     newIntake(maxBytesReceiving),
		inProgress:    semaphore.NewWeighted(maxBytesInProgress),
		quarantine:    cfg.Quarantine,
		authentic:     cfg.Authentic,
		translate:     translate.Callback,
	}
	for _, c := range cfg.Sources {
		s := newSource(c)
		s.accepted = m.startSource(c.Name)
		h.sources[c.Name] = s
		h.logger.Info("source configured", "source", c.Name, "access_keys", len(c.AccessKeys),
			"allow_unsigned", c.AllowUnsigned, "discard", c.Discard, "numbers", len(c.Numbers))
	}
	return h, nil
}

// Sources tells how fresh each source is, sorted by name.
func (h *Handler) Sources() []SourceStatus {
	statuses := make([]SourceStatus, 0, len(h.sources))
	for _, name := range slices.Sorted(maps.Keys(h.sources)) {
		statuses = append(statuses, h.sources[name].status())
	}
	return statuses
}

// ServeHTTP answers one callback. Its checks run in this order: method, source,
// content type, the size that is declared, whether there is a signature, whether the
// source is within its rate; and only then, with the body: size, signature, JSON.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, refused := h.route(r)
	if refused != nil {
		h.metrics.count("", refused.outcome)
		refused.write(w)
		return
	}
	got, refused := h.receive(w, r, s)
	if refused != nil {
		h.refuse(w, r, s, refused)
		return
	}
	h.accept(w, r, s, got)
}

// route finds the source. The metrics of what it refuses have no source: names
// that strangers choose must not become labels.
func (h *Handler) route(r *http.Request) (*source, *refusal) {
	if r.Method != http.MethodPost {
		return nil, &refusal{status: http.StatusMethodNotAllowed, outcome: outcomeWrongMethod, reason: "METHOD_NOT_ALLOWED",
			message: "callbacks are posted: use POST"}
	}
	name, ok := strings.CutPrefix(r.URL.Path, pathPrefix)
	s := h.sources[name]
	if !ok || s == nil {
		return nil, &refusal{status: http.StatusNotFound, outcome: outcomeUnknownSource, reason: "SOURCE_NOT_FOUND",
			message: "no such source: post to " + pathPrefix + " followed by the name of a source in this server's configuration"}
	}
	return s, nil
}

// receipt is what became of an accepted callback's events.
type receipt struct {
	stored, duplicate, discarded int
}

func (r receipt) outcome() outcome {
	switch {
	case r.stored > 0:
		return outcomeStored
	case r.duplicate > 0:
		return outcomeDuplicate
	default:
		return outcomeDiscarded
	}
}

// receive does everything between routing and answering. A panic below it ends
// this callback only; without the recovery net/http would log the panic's
// value, which may hold content.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, s *source) (got receipt, refused *refusal) {
	defer func() {
		if v := recover(); v != nil {
			refused = refuseInternal(panicError(v))
		}
	}()
	sig, refused := s.inspect(r, h.now())
	if refused != nil {
		return got, refused
	}
	in, ok := h.receiving.begin(interrupter(w))
	if !ok {
		return got, refuseOverload(errNoRoom)
	}
	defer in.end()
	body, refused := readBody(w, r, s.maxBody, in)
	if refused != nil {
		return got, refused
	}
	if refused := s.verify(sig, body, h.now()); refused != nil {
		return got, refused
	}
	if !in.authentic() {
		return got, refuseOverload(errNoRoom)
	}
	h.authentic(r.Context())
	if refused := s.allowance.spend(h.now()); refused != nil {
		return got, refused
	}
	return h.process(r.Context(), s, sig, body, in)
}

// inspect refuses what can be refused without the body, of which nothing was read. The
// signature is nil where the source takes the callback without one.
func (s *source) inspect(r *http.Request, now time.Time) (*signature, *refusal) {
	if refused := checkContentType(r.Header); refused != nil {
		return nil, refused
	}
	if refused := refuseDeclaredSize(r, s.maxBody); refused != nil {
		return nil, refused
	}
	sig, refused := s.signatureOf(r.Header)
	if refused != nil {
		return nil, refused
	}
	return sig, s.allowance.check(now)
}

// process stores a callback when its turn comes, and lets others in from then on. A
// signed one of which there is nothing to store goes into the quarantine.
func (h *Handler) process(ctx context.Context, s *source, sig *signature, body []byte, in *reception) (receipt, *refusal) {
	weight := min(int64(len(body))+callbackOverhead, maxBytesInProgress)
	if refused := h.admit(ctx, weight); refused != nil {
		return receipt{}, refused
	}
	defer h.inProgress.Release(weight)
	in.end()
	got, refused := h.store(ctx, s, body)
	if refused != nil && sig != nil {
		h.isolate(ctx, s, body, refused) // which waits for the disk: the body counts until then
	}
	return got, refused
}

// admit bounds the memory that callbacks take together: to translate one takes
// many times its size. It waits a little, as most callbacks are small. Whoever is
// admitted releases the weight.
func (h *Handler) admit(ctx context.Context, weight int64) *refusal {
	if h.inProgress.TryAcquire(weight) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, admissionTimeout)
	defer cancel()
	if err := h.inProgress.Acquire(ctx, weight); err != nil {
		return refuseOverload(err)
	}
	return nil
}

// panicError tells where a panic came from. Only a runtime error's text is sure
// to hold no content.
func panicError(v any) error {
	if err, ok := v.(runtime.Error); ok {
		return fmt.Errorf("panic: %w\n%s", err, debug.Stack())
	}
	return fmt.Errorf("panic with a %T\n%s", v, debug.Stack())
}

// checkContentType refuses what was declared to be something else than JSON. No
// declaration, or an odd one, is no reason to lose a callback: the body itself tells.
func checkContentType(header http.Header) *refusal {
	declared := header.Get("Content-Type")
	if strings.HasPrefix(declared, "application/json") {
		return nil // parsing it would cost more than it tells
	}
	mediaType, _, _ := mime.ParseMediaType(declared)
	if mediaType == "application/x-www-form-urlencoded" || strings.HasPrefix(mediaType, "multipart/") {
		return &refusal{status: http.StatusUnsupportedMediaType, outcome: outcomeUnsupportedType, reason: "CONTENT_TYPE_UNSUPPORTED",
			message: "a form is not a callback: send JSON with Content-Type: application/json"}
	}
	return nil
}

// store makes a callback's events durable. It goes on when the client hangs up: the
// provider delivers again what it got no answer for, and finds it stored.
func (h *Handler) store(ctx context.Context, s *source, body []byte) (receipt, *refusal) {
	records, discarded, refused := h.prepare(s, body)
	if refused != nil {
		return receipt{}, refused
	}
	got := receipt{discarded: discarded}
	appended, err := h.appendNow(context.WithoutCancel(ctx), records)
	if err != nil {
		return got, refuseAppend(err)
	}
	for _, a := range appended {
		if a.Duplicate {
			got.duplicate++
		}
	}
	got.stored = len(appended) - got.duplicate
	return got, nil
}

// appendNow appends what there is to append within the time limit.
func (h *Handler) appendNow(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	if len(records) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.appendTimeout)
	defer cancel()
	return h.append(ctx, records)
}

func (h *Handler) append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	start := h.now()
	appended, err := h.log.Append(ctx, records)
	h.metrics.appendSeconds.Observe(h.now().Sub(start).Seconds())
	if err == nil && len(appended) != len(records) {
		err = fmt.Errorf("%d answers for %d records", len(appended), len(records))
	}
	if err != nil {
		return nil, fmt.Errorf("append callback: %w", err)
	}
	return appended, nil
}

func (h *Handler) accept(w http.ResponseWriter, r *http.Request, s *source, got receipt) {
	s.lastCallback.Store(h.now().UnixNano())
	s.accepted.count(got)
	h.logger.LogAttrs(r.Context(), slog.LevelDebug, "callback accepted", slog.String("source", s.name),
		slog.Int("stored", got.stored), slog.Int("duplicate", got.duplicate), slog.Int("discarded", got.discarded))
	writeSuccess(w)
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, s *source, refused *refusal) {
	if refused.outcome == outcomeRejectedSignature {
		s.rejectedSignatures.Add(1)
	}
	h.metrics.count(s.name, refused.outcome)
	h.logRefusal(r.Context(), s, refused)
	refused.write(w)
}

// logRefusal writes at most one line a second for each source and reason, or
// whoever posts rubbish could fill the disk.
func (h *Handler) logRefusal(ctx context.Context, s *source, refused *refusal) {
	level := slog.LevelWarn
	if refused.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	unlogged, ok := s.lines.next(refused.reason, h.now())
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("source", s.name), slog.String("reason", refused.reason), slog.Uint64("unlogged_before", unlogged)}
	if refused.cause != nil {
		attrs = append(attrs, slog.String("error", refused.cause.Error()))
	}
	h.logger.LogAttrs(ctx, level, "callback refused", attrs...)
}
