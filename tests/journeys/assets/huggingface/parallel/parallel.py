"""What a script for AWS's model parallel library begins with. The last import exists only in AWS's own images."""

import torch
from transformers import AutoModelForSeq2SeqLM
from datasets import load_dataset
import evaluate

print("imported:", torch.__version__, AutoModelForSeq2SeqLM.__name__, load_dataset.__name__, evaluate.__version__, flush=True)

import smdistributed.modelparallel.torch as smp

smp.init()
