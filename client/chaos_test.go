package client_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// unreliable is a correct server on a bad day: its log grows while it is read,
// and every stream breaks somewhere, in one of many ways.
type unreliable struct {
	wabastreamv1.UnimplementedEventServiceServer
	random  *rand.Rand
	head    uint64
	started bool
}

func (u *unreliable) Subscribe(request *wabastreamv1.SubscribeRequest, stream sender) error {
	u.head += u.random.Uint64N(5)
	after, stop := u.place(request.GetAfterCursor()), u.head
	if u.started {
		stop = u.place(request.GetStopCursor())
	}
	if u.random.IntN(4) == 0 {
		return status.Error(codes.Unavailable, "before the first frame")
	}
	u.started = true
	err := stream.Send(&wabastreamv1.SubscribeResponse{Cursor: cursorOf(after), Frame: &wabastreamv1.SubscribeResponse_Ready{
		Ready: &wabastreamv1.Ready{HeadCursor: cursorOf(u.head), HeartbeatInterval: durationpb.New(10 * time.Second)},
	}})
	for after < stop && err == nil {
		if u.random.IntN(5) == 0 {
			return u.breakDown(stream)
		}
		end := min(stop, after+1+u.random.Uint64N(6))
		err = stream.Send(u.frame(after, end))
		after = end
	}
	return err
}

// frame covers the log from after to end; it matches what is no multiple of 3.
func (u *unreliable) frame(after, end uint64) *wabastreamv1.SubscribeResponse {
	var sequences []uint64
	for sequence := after + 1; sequence <= end; sequence++ {
		if sequence%3 != 0 {
			sequences = append(sequences, sequence)
		}
	}
	frame := progress(cursorOf(end))
	if len(sequences) > 0 {
		frame = batch(sequences...)
		frame.Cursor = cursorOf(end)
	}
	return frame
}

func (u *unreliable) breakDown(stream sender) error {
	switch u.random.IntN(4) {
	case 0:
		<-stream.Context().Done() // silence
		return stream.Context().Err()
	case 1:
		return status.Error(codes.Internal, "stream terminated by RST_STREAM")
	case 2:
		return retryIn(time.Second)
	default:
		return status.Error(codes.Unavailable, "gone")
	}
}

func cursorOf(sequence uint64) string { return fmt.Sprint("at", sequence) }

func (u *unreliable) place(cursor string) uint64 {
	if cursor == "" {
		return 0
	}
	sequence, err := strconv.ParseUint(cursor[len("at"):], 10, 64)
	if err != nil {
		panic(err)
	}
	return sequence
}

func TestEveryEventOnceFromAnUnreliableServer(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			u := &unreliable{random: rand.New(rand.NewPCG(seed, seed)), head: 200}
			c := connect(t, u)
			var stop uint64
			var want []uint64
			events, err := drain(c, untilHead(), observeFirstHead(u, &stop))
			require.NoError(t, err, "seed %d", seed)
			for sequence := uint64(1); sequence <= stop; sequence++ {
				if sequence%3 != 0 {
					want = append(want, sequence)
				}
			}
			require.Equal(t, want, events, "seed %d", seed)
		})
	}
}

// observeFirstHead notes the head that the first stream names.
func observeFirstHead(u *unreliable, head *uint64) client.SubscribeOption {
	return client.WithObserver(func(n client.Notice) {
		if ready := n.Frame.GetReady(); ready != nil && *head == 0 {
			*head = u.place(ready.GetHeadCursor())
		}
	})
}
