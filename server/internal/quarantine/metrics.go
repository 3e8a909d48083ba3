package quarantine

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	entries, bytes    prometheus.Gauge
	dropped, failures prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		entries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wabastream_quarantine_callbacks",
			Help: "Authentic callbacks that could not be made into events and are held.",
		}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wabastream_quarantine_bytes",
			Help: "Bytes of their bodies.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wabastream_quarantine_dropped_total",
			Help: "Callbacks that had to make room for newer ones, or for which there is none: see quarantine_callbacks and quarantine_bytes.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wabastream_quarantine_failures_total",
			Help: "Callbacks that could not be written.",
		}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.entries, m.bytes, m.dropped, m.failures} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) set(entries int, bytes int64) {
	m.entries.Set(float64(entries))
	m.bytes.Set(float64(bytes))
}
