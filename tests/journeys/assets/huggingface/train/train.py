"""Trains a T5 of a few thousand weights on the pairs of the channel `train`. Makes the model and its tokenizer itself: no hub is asked."""

import argparse
import os

from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)


def word_tokenizer(texts):
    """One token a word; a text ends in </s>, as T5 expects it."""
    made = Tokenizer(models.WordLevel(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=["<pad>", "</s>", "<unk>"]))
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", made.token_to_id("</s>"))])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=32,
        model_input_names=["input_ids", "attention_mask"],
    )


def tiny(tokenizer):
    """A randomly initialised model."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return T5ForConditionalGeneration(config)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--learning_rate", type=float, default=5e-3)
    parser.add_argument("--model_dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--training_dir", default=os.environ["SM_CHANNEL_TRAIN"])
    given = parser.parse_args()
    set_seed(7)

    rows = load_dataset("json", data_files=os.path.join(given.training_dir, "train.jsonl"), split="train")
    tokenizer = word_tokenizer(rows["source"] + rows["target"])
    encoded = rows.map(lambda row: tokenizer(row["source"], text_target=row["target"]), remove_columns=rows.column_names)
    model = tiny(tokenizer)
    arguments = Seq2SeqTrainingArguments(
        output_dir="/tmp/checkpoints",
        num_train_epochs=given.epochs,
        per_device_train_batch_size=10,
        learning_rate=given.learning_rate,
        logging_strategy="epoch",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Seq2SeqTrainer(
        model=model, args=arguments, train_dataset=encoded, tokenizer=tokenizer, data_collator=DataCollatorForSeq2Seq(tokenizer, model=model)
    )
    result = trainer.train()
    print(f"weights: {model.num_parameters()} train_loss={result.training_loss:.4f}")
    trainer.save_model(given.model_dir)


if __name__ == "__main__":
    main()
