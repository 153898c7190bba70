import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;

/** The book that the peers keep, as `book.py` is for the others: two sorted maps of doubles. */
final class Book {
    private final TreeMap<Double, Double> bids = new TreeMap<>(Collections.reverseOrder());
    private final TreeMap<Double, Double> asks = new TreeMap<>();

    /** What is compared of a notification: imbalance of 1, 5 and 10 levels, flow of the best. */
    record Measured(double imbalance1, double imbalance5, double imbalance10, double flowUsd) {}

    private record Best(double bid, double bidSize, double ask, double askSize) {}

    /** Applies a notification; returns what is measured of it. */
    Measured apply(JsonNode data) {
        Best before = null;
        if ("snapshot".equals(data.path("type").textValue())) {
            bids.clear();
            asks.clear();
        } else {
            before = best();
        }
        change(bids, data.get("bids"));
        change(asks, data.get("asks"));
        double flowUsd = before == null ? 0.0 : flow(before, best());
        return new Measured(imbalance(1), imbalance(5), imbalance(10), flowUsd);
    }

    private static void change(TreeMap<Double, Double> side, JsonNode changes) {
        for (JsonNode change : changes) {
            double price = change.get(1).doubleValue();
            if ("delete".equals(change.get(0).textValue())) {
                side.remove(price);
            } else {
                side.put(price, change.get(2).doubleValue());
            }
        }
    }

    private Best best() {
        Map.Entry<Double, Double> bid = bids.firstEntry();
        Map.Entry<Double, Double> ask = asks.firstEntry();
        return new Best(bid.getKey(), bid.getValue(), ask.getKey(), ask.getValue());
    }

    private double imbalance(int levels) {
        double bid = sum(bids, levels);
        double ask = sum(asks, levels);
        return (bid - ask) / (bid + ask);
    }

    private static double sum(TreeMap<Double, Double> side, int levels) {
        double sum = 0.0;
        for (double size : side.values()) {
            if (levels-- == 0) {
                break;
            }
            sum += size;
        }
        return sum;
    }

    /** Order flow imbalance of the best level: Cont, Kukanov & Stoikov (2014). */
    private static double flow(Best old, Best now) {
        double flow = 0.0;
        flow += now.bid >= old.bid ? now.bidSize : 0.0;
        flow -= now.bid <= old.bid ? old.bidSize : 0.0;
        flow -= now.ask <= old.ask ? now.askSize : 0.0;
        flow += now.ask >= old.ask ? old.askSize : 0.0;
        return flow;
    }

    /** Returns the whole book: how many bids, then price and size of each level, best first. */
    byte[] toBytes() {
        int levels = bids.size() + asks.size();
        ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES + levels * 2 * Double.BYTES);
        bytes.putInt(bids.size());
        bids.forEach((price, size) -> bytes.putDouble(price).putDouble(size));
        asks.forEach((price, size) -> bytes.putDouble(price).putDouble(size));
        return bytes.array();
    }

    /** Returns the book of these bytes. */
    static Book ofBytes(byte[] content) {
        ByteBuffer bytes = ByteBuffer.wrap(content);
        Book book = new Book();
        int bids = bytes.getInt();
        while (bytes.hasRemaining()) {
            TreeMap<Double, Double> side = book.bids.size() < bids ? book.bids : book.asks;
            side.put(bytes.getDouble(), bytes.getDouble());
        }
        return book;
    }
}
