package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics of a server that are read.
const (
	metricHeap       = "go_memstats_heap_inuse_bytes"
	metricGoroutines = "go_goroutines"
	metricFiles      = "process_open_fds"
	metricLogBytes   = "wabastream_log_bytes"
	metricHeld       = "wabastream_log_events"
	metricTrimmed    = "wabastream_events_trimmed_total"
)

// metrics asks the server for its metrics. One of those above that is missing, or
// has no value, is an error: it must not pass for zero.
func (p *serverProcess) metrics(ctx context.Context) (map[string]float64, error) {
	status, body, err := p.get(ctx, "/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("answered %d", status)
	}
	if err != nil {
		return nil, fmt.Errorf("read the server's metrics: %w", err)
	}
	m, err := parseMetrics(body)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{metricHeap, metricGoroutines, metricFiles, metricLogBytes, metricHeld, metricTrimmed} {
		if v, ok := m[name]; !ok || math.IsNaN(v) {
			return nil, fmt.Errorf("the server's metrics have no value of %s: has its log failed?", name)
		}
	}
	return m, nil
}

// parseMetrics returns every counter and gauge, summed over its labels.
func parseMetrics(text []byte) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the server's metrics: %w", err)
	}
	values := make(map[string]float64, len(families))
	for name, family := range families {
		for _, m := range family.GetMetric() {
			values[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return values, nil
}
