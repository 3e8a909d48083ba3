package stream

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	streams    prometheus.Gauge
	ended      *prometheus.CounterVec
	deliveries prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wabastream_streams",
			Help: "Subscriptions open now.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wabastream_streams_ended_total",
			Help: "Subscriptions ended, by reason: OK, an ErrorInfo reason, or a gRPC code. DRAINING and Canceled are planned ends.",
		}, []string{"reason"}),
		deliveries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wabastream_deliveries_total",
			Help: "Events sent to subscribers.",
		}),
	}
	if registerer != nil {
		registerer.MustRegister(m.streams, m.ended, m.deliveries)
	}
	return m
}
