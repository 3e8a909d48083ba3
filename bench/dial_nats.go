package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"google.golang.org/protobuf/proto"
)

// natsConnection carries subscriptions to NATS core.
type natsConnection struct {
	conn *nats.Conn
	// closed is done once the client has ended everything it runs.
	closed chan struct{}
}

func dialNATS(_ context.Context, addr string) (connection, error) { return connectNATS(addr) }

func connectNATS(addr string) (*natsConnection, error) {
	c := &natsConnection{closed: make(chan struct{})}
	var err error
	c.conn, err = nats.Connect("nats://"+addr, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

// subscribe implements connection.
func (c *natsConnection) subscribe(ctx context.Context, r *receiver) error {
	c.conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { r.failUnless(ctx, err) })
	subscription, err := c.conn.Subscribe(r.subject(), func(m *nats.Msg) { r.takeData(m.Data) })
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	// The client drops what is beyond its limits: a subscriber here loses nothing.
	if err := subscription.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return c.conn.Flush()
}

func (c *natsConnection) close() error {
	c.conn.Close()
	<-c.closed
	return nil
}

// subject is what a receiver subscribes to.
func (r *receiver) subject() string {
	if r.account == everyone {
		return subjectPrefix + ">"
	}
	return subjectPrefix + r.account + ".>"
}

// takeData takes the data of a NATS message.
func (r *receiver) takeData(data []byte) {
	if !r.decode {
		if err := r.takeWire(data); err != nil {
			r.fail(err)
		}
		return
	}
	e := new(wabastreamv1.Event)
	if err := proto.Unmarshal(data, e); err != nil {
		r.fail(err)
		return
	}
	if err := r.takeEvent(e); err != nil {
		r.fail(err)
	}
}

// jetStreamConnection carries ordered consumers.
type jetStreamConnection struct {
	*natsConnection
	// take is called with every message; what it returns fails the receiver.
	take func(r *receiver, data []byte)

	mu        sync.Mutex // guards fields below it
	consuming []jetstream.ConsumeContext
}

func dialJetStream(_ context.Context, addr string) (connection, error) {
	return connectJetStream(addr, (*receiver).takeData)
}

func connectJetStream(addr string, take func(*receiver, []byte)) (connection, error) {
	conn, err := connectNATS(addr)
	if err != nil {
		return nil, err
	}
	return &jetStreamConnection{natsConnection: conn, take: take}, nil
}

func (c *jetStreamConnection) subscribe(ctx context.Context, r *receiver) error {
	js, err := jetstream.New(c.conn)
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{FilterSubjects: []string{r.subject()}})
	if err != nil {
		return fmt.Errorf("create consumer: %w", err)
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) { c.take(r, m.Data()) })
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.consuming = append(c.consuming, consuming)
	return nil
}

func (c *jetStreamConnection) close() error {
	for _, consuming := range c.consuming {
		consuming.Stop()
		<-consuming.Closed()
	}
	return c.natsConnection.close()
}
