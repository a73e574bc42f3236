// Asks for an answer, whole and streamed: go run . [localhost:50051]
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	pb "example.com/llm/gen/go/llm_inference/v1"
	"google.golang.org/grpc"
)

func main() {
	address := "localhost:50051"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	conn, err := grpc.Dial(address, grpc.WithInsecure()) // Newer: NewClient, with insecure.NewCredentials().
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client, most := pb.NewInferenceServiceClient(conn), uint32(40)
	request := &pb.ChatRequest{
		Messages:  []*pb.ChatMessage{{Role: "user", Content: "Who wrote Hamlet?"}},
		MaxTokens: &most,
	}
	answer, err := client.Chat(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Message.Content)

	stream, err := client.ChatStream(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Print(part.GetDelta().GetContent())
	}
}
