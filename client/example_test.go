package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Everything that the server still holds about one account, then the end.
func ExampleClient_Subscribe() {
	c, err := client.New("127.0.0.1:9090", exampleServer())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	request := &wabastreamv1.SubscribeRequest{
		Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"1618074075500491"}}},
		Start:   &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:    &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}
	for event, err := range c.Subscribe(context.Background(), request) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.GetType(), event.GetWabaId())
	}
	// Output:
	// account_update.disabled_update.disable 1618074075500491
	// account_update.disabled_update.reinstate 1618074075500491
}

// A consumer that goes on where it stopped, also after a restart: it saves a
// cursor after each event, and from time to time while nothing matches.
func ExampleClient_Subscribe_resume() {
	c, err := client.New("127.0.0.1:9090", exampleServer())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	// FileCheckpoint and your own database are Checkpoints; with a database, save in
	// the transaction that deals with the event.
	ctx := context.Background()
	path, remove := exampleFile()
	defer remove()
	checkpoint := client.NewFileCheckpoint(path)
	saved, err := checkpoint.Load(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	save := func(cursor string) {
		if err := checkpoint.Save(ctx, cursor); err != nil {
			fmt.Println(err)
		}
	}

	request := &wabastreamv1.SubscribeRequest{
		Filters: []*wabastreamv1.EventFilter{{Types: []string{"account_update.disabled_update"}}},
		Start:   &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:    &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}, // leave out to go on for ever
	}
	if saved != "" {
		request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: saved}
	}
	idle := client.WithObserver(func(n client.Notice) {
		if n.Frame.GetProgress() != nil {
			save(n.Cursor)
		}
	})
	for event, err := range c.Subscribe(ctx, request, idle) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("handled", event.GetType()) // be idempotent by event.GetId()
		save(event.GetCursor())
	}
	saved, _ = checkpoint.Load(ctx)
	fmt.Println("saved", saved)
	// Output:
	// handled account_update.disabled_update.disable
	// handled account_update.disabled_update.reinstate
	// saved cursor-2
}

// A consumer that handles up to 16 accounts at once, each account's events in
// order, tries again what fails, and goes on after a restart where it stopped.
func ExampleClient_Handle() {
	c, err := client.New("127.0.0.1:9090", exampleServer())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	path, remove := exampleFile()
	defer remove()
	request := &wabastreamv1.SubscribeRequest{
		Filters: []*wabastreamv1.EventFilter{{Types: []string{"account_update.disabled_update"}}},
		Start:   &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:    &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}, // leave out to go on for ever
	}
	handler := func(_ context.Context, event *wabastreamv1.Event) error {
		fmt.Println(event.GetType(), event.GetWabaId()) // be idempotent by event.GetId()
		return nil
	}
	err = c.Handle(ctx, request, handler,
		client.WithConcurrency(16),
		client.WithRetry(5, time.Second, time.Minute),
		client.WithCheckpoint(client.NewFileCheckpoint(path)),
	)
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// account_update.disabled_update.disable 1618074075500491
	// account_update.disabled_update.reinstate 1618074075500491
}

// Going on where the server had to remove events before they could be read.
func ExampleWithGapHandler() {
	c, err := client.New("127.0.0.1:9090", exampleServer())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	request := &wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}}
	handler := func(_ context.Context, event *wabastreamv1.Event) error {
		fmt.Println(event.GetType())
		return nil
	}
	err = c.Handle(context.Background(), request, handler,
		client.WithGapHandler(func(_ context.Context, gap *client.GapError) error {
			fmt.Println("fetch the accounts' state anew:", gap)
			return nil
		}),
	)
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// account_update.disabled_update.disable
	// account_update.disabled_update.reinstate
}

// Telling the errors apart.
func ExampleError() {
	c, err := client.New("127.0.0.1:9090", exampleServer())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	request := &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: "a cursor from last year"},
	}
	for _, err := range c.Subscribe(context.Background(), request) {
		var gap *client.GapError
		var refused *client.Error
		switch {
		case err == nil:
			fmt.Println("an event")
		case errors.As(err, &gap):
			fmt.Println("events are missing after", gap.From) // and the loop goes on
		case errors.Is(err, &client.Error{Reason: client.ReasonCursorExpired}):
			fmt.Println("too late: reconcile, then start at the earliest event")
		case errors.As(err, &refused):
			fmt.Println("refused:", refused.Reason)
		default:
			fmt.Println(err)
		}
	}
	// Output:
	// too late: reconcile, then start at the earliest event
}

// A remote server that asks for a token: TLS is the default, and the token is
// read again for every call because it is replaced now and then.
func ExampleNew() {
	c, err := client.New("events.example.com:443",
		client.WithTokenSource(func(context.Context) (string, error) {
			token, err := os.ReadFile("/var/run/secrets/wabastream/token")
			return string(token), err
		}),
		client.WithBackoff(time.Second, time.Minute),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
}

// exampleServer stands in for a server. Programs leave it out.
func exampleServer() client.Option {
	return client.WithDialOptions(grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		listener := bufconn.Listen(1 << 16)
		server := grpc.NewServer()
		wabastreamv1.RegisterEventServiceServer(server, exampleService{})
		go func() { _ = server.Serve(listener) }()
		conn, err := listener.Dial()
		return stopWithConn{Conn: conn, server: server}, err
	}))
}

// exampleFile stands in for the path of a file that lasts.
func exampleFile() (path string, remove func()) {
	folder, err := os.MkdirTemp("", "wabastream-example-")
	if err != nil {
		panic(err)
	}
	return filepath.Join(folder, "wabastream.cursor"), func() { _ = os.RemoveAll(folder) }
}

type exampleService struct {
	wabastreamv1.UnimplementedEventServiceServer
}

func (exampleService) Subscribe(request *wabastreamv1.SubscribeRequest, stream sender) error {
	if request.GetAfterCursor() != "" {
		return refusal(11, client.ReasonCursorExpired)
	}
	events := batch(1, 2)
	for i, state := range []string{"disable", "reinstate"} {
		event := events.GetBatch().GetEvents()[i]
		event.Cursor = fmt.Sprint("cursor-", i+1)
		event.Type = "account_update.disabled_update." + state
		event.WabaId = "1618074075500491"
	}
	return play(nil, ready("cursor-0"), events)(request, stream)
}

// stopWithConn stops the server when the client closes the connection.
type stopWithConn struct {
	net.Conn

	server *grpc.Server
}

func (s stopWithConn) Close() error {
	err := s.Conn.Close()
	go s.server.Stop()
	return err
}
