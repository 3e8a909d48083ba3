package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/quarantine"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// Quarantine takes signed callbacks that cannot be made into events.
type Quarantine interface {
	// Put keeps a callback and returns once it is durable. It keeps no reference to
	// the body. The reason quotes nothing of it.
	Put(source string, received time.Time, reason string, body []byte) error
}

// isolate keeps a callback that came with a signature and could not be made into
// events. The answer is the same whether that works or not.
func (h *Handler) isolate(ctx context.Context, s *source, body []byte, refused *refusal) {
	if h.quarantine == nil || refused.unreadable == "" {
		return
	}
	if err := h.quarantine.Put(s.name, h.now(), refused.unreadable, body); err != nil {
		if unlogged, ok := s.lines.next("QUARANTINE_FAILED", h.now()); ok {
			h.logger.LogAttrs(ctx, slog.LevelError, "a signed callback that cannot be read could not be kept either",
				slog.String("source", s.name), slog.Uint64("unlogged_before", unlogged), slog.String("error", err.Error()))
		}
	}
}

// Reinjected is what became of a callback that was put in again.
type Reinjected struct {
	// IDs are those of the events that the log holds now, in the order of the
	// callback; events of types that the source discards have none.
	IDs []eventlog.ID
	// Stored, Duplicate and Discarded count the callback's events.
	Stored, Duplicate, Discarded int
}

// Reinject does with a callback that was verified before what is done with one that
// was just posted: translate, attribute, append. It returns once its events are
// durable. It is not bounded as posts are; callers bound it.
//
// Errors match quarantine.ErrNoSource for a source that is not configured,
// quarantine.ErrUnreadable for a callback that still cannot be made into events,
// those of eventlog.Log.Append, or the context's. They quote nothing of the body.
func (h *Handler) Reinject(ctx context.Context, name string, body []byte) (got Reinjected, err error) {
	s := h.sources[name]
	if s == nil {
		return got, quarantine.ErrNoSource
	}
	records, discarded, refused := h.prepare(s, body)
	if refused != nil {
		h.logRefusal(ctx, s, refused)
		return got, fmt.Errorf("%w: %s", quarantine.ErrUnreadable, refused.unreadable)
	}
	appended, err := h.appendNow(ctx, records)
	if err != nil {
		return got, err
	}
	for i, a := range appended {
		got.IDs = append(got.IDs, records[i].ID)
		if a.Duplicate {
			got.Duplicate++
		}
	}
	got.Stored, got.Discarded = len(appended)-got.Duplicate, discarded
	s.accepted.events.Add(float64(got.Stored))
	s.accepted.discardedEvents.Add(float64(got.Discarded))
	return got, nil
}

// prepare makes what the log stores of a callback. A panic on the way is one more
// reason why a callback cannot be read.
func (h *Handler) prepare(s *source, body []byte) (records []eventlog.Record, discarded int, refused *refusal) {
	defer func() {
		if v := recover(); v != nil {
			refused = refuseUntranslatable(panicError(v))
		}
	}()
	events, err := h.translate(s.name, body)
	if errors.Is(err, translate.ErrNotJSON) {
		return nil, 0, refuseNotJSON(err)
	}
	if err == nil && len(events) == 0 {
		err = errors.New("no event came of a callback")
	}
	if err != nil {
		return nil, 0, refuseUntranslatable(fmt.Errorf("translate callback: %w", err))
	}
	kept := s.keep(events)
	discarded = len(events) - len(kept)
	if len(kept) == 0 {
		return nil, discarded, nil
	}
	if records, err = h.records(s, kept); err != nil {
		return nil, 0, refuseUntranslatable(err)
	}
	return records, discarded, nil
}
