import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Kafka Streams as its documentation has it: a processor with a store, a tumbling window, a topic.
 *
 * <p>`PEER_STATE=table` keeps the book in a persistent store (RocksDB and changelog); `memory` keeps
 * it in the process, and only the window is in a store. Stores have the cache that the DSL's have,
 * so that a book goes to RocksDB and changelog once a commit. `PEER_GUARANTEE` is the processing
 * guarantee. All else is as it is by default, with one stream thread, but commits: once a second,
 * which is as often as Steelyard's.
 */
public final class Imbalance {
    private static final String BOOKS = "books";
    private static final int COMMIT_INTERVAL_MS = 1_000;
    private static final TimeWindows EACH_SECOND =
            TimeWindows.ofSizeWithNoGrace(Duration.ofSeconds(1));
    private static final ObjectMapper JSON = new ObjectMapper();

    /** A window of one instrument so far, and what is published of it. */
    record Window(
            @JsonProperty("instrument") String instrument,
            @JsonProperty("start_ms") long startMs,
            @JsonProperty("observations") long observations,
            @JsonProperty("imbalance_1_last") double imbalance1,
            @JsonProperty("imbalance_5_last") double imbalance5,
            @JsonProperty("imbalance_10_last") double imbalance10,
            @JsonProperty("ofi_usd") double flowUsd) {

        static Window begin() {
            return new Window("", 0, 0, 0.0, 0.0, 0.0, 0.0);
        }

        Window add(Book.Measured of) {
            return new Window(
                    instrument,
                    startMs,
                    observations + 1,
                    of.imbalance1(),
                    of.imbalance5(),
                    of.imbalance10(),
                    flowUsd + of.flowUsd());
        }

        Window named(String name, long atMs) {
            return new Window(
                    name, atMs, observations, imbalance1, imbalance5, imbalance10, flowUsd);
        }
    }

    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("GROUP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("KAFKA"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, setting("DIR"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, setting("GUARANTEE"));
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, COMMIT_INTERVAL_MS);
        boolean isInTable = setting("STATE").equals("table");
        Topology topology = topology(setting("INPUT"), setting("OUTPUT"), isInTable);
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    Runtime.getRuntime().halt(1); // the bench sees that it has ended
                    throw new AssertionError("unreachable");
                });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    static Topology topology(String input, String output, boolean isInTable) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, JsonNode> notifications =
                builder.stream(
                        input,
                        Consumed.with(Serdes.String(), json(JsonNode.class))
                                .withTimestampExtractor(
                                        (record, partitionTime) -> timestampOf(record.value())));
        KStream<String, Book.Measured> measured;
        if (isInTable) {
            builder.addStateStore(
                    Stores.keyValueStoreBuilder(
                                    Stores.persistentKeyValueStore(BOOKS),
                                    Serdes.String(),
                                    books())
                            .withCachingEnabled());
            measured = notifications.processValues(InStore::new, BOOKS);
        } else {
            measured = notifications.processValues(InMemory::new);
        }
        measured.groupByKey(Grouped.keySerde(Serdes.String()))
                .windowedBy(EACH_SECOND)
                .aggregate(
                        Window::begin,
                        (name, of, window) -> window.add(of),
                        Materialized.<String, Window, WindowStore<Bytes, byte[]>>with(
                                Serdes.String(), json(Window.class)))
                .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                .toStream()
                .map(
                        (key, window) ->
                                KeyValue.pair(
                                        key.key(),
                                        window.named(key.key(), key.window().start())))
                .to(output, Produced.with(Serdes.String(), json(Window.class)));
        return builder.build();
    }

    /** Keeps each book in the store. */
    private static final class InStore
            extends ContextualFixedKeyProcessor<String, JsonNode, Book.Measured> {
        private KeyValueStore<String, Book> books;

        @Override
        public void init(FixedKeyProcessorContext<String, Book.Measured> context) {
            super.init(context);
            books = context.getStateStore(BOOKS);
        }

        @Override
        public void process(FixedKeyRecord<String, JsonNode> record) {
            Book book = books.get(record.key());
            if (book == null) {
                book = new Book();
            }
            Book.Measured measured = book.apply(dataOf(record.value()));
            books.put(record.key(), book);
            context().forward(record.withValue(measured));
        }
    }

    /** Keeps each book in the process only. */
    private static final class InMemory
            extends ContextualFixedKeyProcessor<String, JsonNode, Book.Measured> {
        private final Map<String, Book> books = new HashMap<>();

        @Override
        public void process(FixedKeyRecord<String, JsonNode> record) {
            Book book = books.computeIfAbsent(record.key(), name -> new Book());
            context().forward(record.withValue(book.apply(dataOf(record.value()))));
        }
    }

    private static JsonNode dataOf(JsonNode notification) {
        return notification.get("params").get("data");
    }

    private static long timestampOf(Object notification) {
        return dataOf((JsonNode) notification).get("timestamp").longValue();
    }

    private static Serde<Book> books() {
        return Serdes.serdeFrom(
                (topic, book) -> book == null ? null : book.toBytes(),
                (topic, bytes) -> bytes == null ? null : Book.ofBytes(bytes));
    }

    private static <T> Serde<T> json(Class<T> type) {
        return Serdes.serdeFrom(
                (topic, value) -> {
                    try {
                        return value == null ? null : JSON.writeValueAsBytes(value);
                    } catch (IOException error) {
                        throw new SerializationException(error);
                    }
                },
                (topic, bytes) -> {
                    try {
                        return bytes == null ? null : JSON.readValue(bytes, type);
                    } catch (IOException error) {
                        throw new SerializationException(error);
                    }
                });
    }

    private static String setting(String name) {
        String value = System.getenv("PEER_" + name);
        if (value == null) {
            throw new IllegalArgumentException("PEER_" + name + " is not set; see run.py");
        }
        return value;
    }
}
