package app

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"
)

// listen binds an address, with metrics of its connections and bounds on them.
func (a *App) listen(ctx context.Context, name, addr string, c crowd) (*listener, error) {
	bound, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; choose another address, or port 0 for any free one", name, err)
	}
	labels := prometheus.Labels{"listener": name}
	shed := prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "wabastream_connections_shed_total",
		Help:        "Connections that were closed because there were more than max_connections.",
		ConstLabels: labels,
	})
	c.shed = a.sayShed(name, shed)
	l := track(bound, c)
	a.registry.MustRegister(shed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "wabastream_connections",
		Help:        "Connections of clients.",
		ConstLabels: labels,
	}, func() float64 { return float64(l.open()) }))
	return l, nil
}

// sayShed counts connections that made room for others, and tells about them once a
// minute at most.
func (a *App) sayShed(name string, shed prometheus.Counter) func() {
	logger := a.logger.With("component", name)
	every := rate.Sometimes{Interval: time.Minute}
	return func() {
		shed.Inc()
		every.Do(func() {
			logger.Warn("too many connections: those open longest over which nothing authentic came are closed; "+
				"somebody holds them open, or max_connections is too low", "max_connections", a.config.MaxConnections)
		})
	}
}

// trustCaller keeps the connection of a caller that was let in from making room for
// strangers.
func (a *App) trustCaller(ctx context.Context) {
	trustConn(ctx)
	if from, ok := peer.FromContext(ctx); ok && a.grpcListener != nil {
		a.grpcListener.trustPeer(from.Addr)
	}
}
