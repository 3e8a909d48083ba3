package webhook

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is a metric label: a fixed set.
type outcome string

const (
	outcomeStored            outcome = "stored"
	outcomeDuplicate         outcome = "duplicate"
	outcomeDiscarded         outcome = "discarded"
	outcomeUnsupportedType   outcome = "unsupported_type"
	outcomeTooLarge          outcome = "too_large"
	outcomeIncomplete        outcome = "incomplete"
	outcomeRejectedSignature outcome = "rejected_signature"
	outcomeRateLimited       outcome = "rate_limited"
	outcomeNotJSON           outcome = "not_json"
	outcomeUnavailable       outcome = "unavailable"
	outcomeError             outcome = "error"

	// Before the source is known; their source label is empty.
	outcomeWrongMethod   outcome = "wrong_method"
	outcomeUnknownSource outcome = "unknown_source"
)

type metrics struct {
	callbacks       *prometheus.CounterVec
	appended        *prometheus.CounterVec
	discardedEvents *prometheus.CounterVec
	appendSeconds   prometheus.Histogram
}

// acceptedCounters are what one source's accepted callbacks count, looked up
// once: to find a counter by its labels costs more than to count.
type acceptedCounters struct {
	callbacks       map[outcome]prometheus.Counter // of every outcome that a receipt has
	events          prometheus.Counter
	discardedEvents prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		callbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wabastream_callbacks_total",
			Help: "Callbacks by what became of them. The source is empty where none was found.",
		}, []string{"source", "outcome"}),
		appended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wabastream_events_appended_total",
			Help: "Events stored; duplicates are not counted.",
		}, []string{"source"}),
		discardedEvents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wabastream_events_discarded_total",
			Help: "Events not stored because the source discards their type.",
		}, []string{"source"}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "wabastream_append_duration_seconds",
			Help:    "Time until the log answered for one callback, also where it failed.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
	}
	m.start("", outcomeWrongMethod, outcomeUnknownSource)
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.callbacks, m.appended, m.discardedEvents, m.appendSeconds} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// startSource makes a source's series exist before anything is counted: a rate
// over a series that begins at its first error does not show that error.
func (m *metrics) startSource(source string) acceptedCounters {
	m.start(source, outcomeStored, outcomeDuplicate, outcomeDiscarded, outcomeUnsupportedType, outcomeTooLarge,
		outcomeIncomplete, outcomeRejectedSignature, outcomeRateLimited, outcomeNotJSON, outcomeUnavailable, outcomeError)
	c := acceptedCounters{
		callbacks:       make(map[outcome]prometheus.Counter),
		events:          m.appended.WithLabelValues(source),
		discardedEvents: m.discardedEvents.WithLabelValues(source),
	}
	for _, o := range []outcome{outcomeStored, outcomeDuplicate, outcomeDiscarded} {
		c.callbacks[o] = m.callbacks.WithLabelValues(source, string(o))
	}
	return c
}

func (m *metrics) start(source string, outcomes ...outcome) {
	for _, o := range outcomes {
		m.callbacks.WithLabelValues(source, string(o))
	}
}

func (m *metrics) count(source string, o outcome) {
	m.callbacks.WithLabelValues(source, string(o)).Inc()
}

func (c *acceptedCounters) count(got receipt) {
	c.callbacks[got.outcome()].Inc()
	c.events.Add(float64(got.stored))
	c.discardedEvents.Add(float64(got.discarded))
}
