import com.llm_inference.v1.ChatMessage;
import com.llm_inference.v1.ChatRequest;
import com.llm_inference.v1.InferenceServiceGrpc;
import io.grpc.ManagedChannelBuilder;
import java.util.concurrent.TimeUnit;

/** Asks for an answer, whole and streamed: java Chat [localhost:50051]. */
public class Chat {
  public static void main(String[] arguments) {
    var channel = ManagedChannelBuilder.forTarget(arguments.length > 0 ? arguments[0] : "localhost:50051").usePlaintext().build();
    var client = InferenceServiceGrpc.newBlockingStub(channel).withDeadlineAfter(1, TimeUnit.MINUTES);
    var question = ChatMessage.newBuilder().setRole("user").setContent("Who wrote Hamlet?");
    var request = ChatRequest.newBuilder().addMessages(question).setMaxTokens(40).build();

    System.out.println(client.chat(request).getMessage().getContent());
    client.chatStream(request).forEachRemaining(part -> System.out.print(part.getDelta().getContent()));
    channel.shutdownNow();
  }
}
